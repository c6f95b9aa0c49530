//! Names for the simulated shop: services, operations and peers, as people write them.

const SERVICES = (
  'web-gateway mobile-gateway partner-api back-office checkout-api ' +
  'catalog-web search-api account-api basket order-api content-api ' +
  'pricing promotions recommend session profile review delivery-quote ' +
  'stock tax payment-router address loyalty media ' +
  'warehouse carrier-rates fraud-check ledger notify ' +
  'bin-packing risk-model settlement mailer ' +
  'geo currency document-store audit ' +
  'key-vault id-maker archive'
).split(' ')

const HTTP = ['GET /', 'POST /', 'GET /{id}', 'PUT /{id}', 'DELETE /{id}', 'GET /{id}/status']
const RPC = ['Get', 'List', 'Put', 'Check', 'Reserve', 'Quote']

/** A name for the service of this number; beyond the first forty they repeat with the cell they belong to. */
export function serviceName(id: number): string {
  const cell = Math.floor(id / SERVICES.length)
  return `${SERVICES[id % SERVICES.length]}${cell === 0 ? '' : `-${cell}`}`
}

/** A name for the operation that stands at place `at` in its service. `bits` choose the words. */
export function verb(
  kind: 'server' | 'consumer' | 'internal',
  service: string,
  at: number,
  http: boolean,
  bits: number,
) {
  if (kind === 'consumer') return `${service} events process`
  if (kind === 'internal') return `job ${service} nightly`
  const place = (at + (bits % 3)) % 6
  if (http) {
    const [method, rest] = HTTP[place].split(' /')
    return `${method} /${service}${at > 2 ? '/more' : ''}${rest === '' ? '' : `/${rest}`}`
  }
  const noun = service.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase())
  return `shop.${noun}/${RPC[place]}${at > 2 ? 'More' : ''}`
}

const PEERS = [
  ['orders-db', 'postgresql'],
  ['session-cache', 'redis'],
  ['catalog-db', 'mysql'],
  ['acquirer.example', ''],
  ['price-cache', 'redis'],
  ['users-db', 'postgresql'],
  ['parcel.example', ''],
  ['stock-db', 'mysql'],
  ['ledger-db', 'postgresql'],
  ['media-bucket', ''],
]

export function peerNames(count: number): { name: string; system: string }[] {
  return Array.from({ length: count }, (_, n) => {
    const [name, system] = PEERS[n % PEERS.length]
    return { name: n < PEERS.length ? name : `${name}-${Math.floor(n / PEERS.length)}`, system }
  })
}
