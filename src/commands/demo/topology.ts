//! The shop of the demo as data: who calls whom, how long each takes of its own, and in which pods it runs.

export interface Pod {
  readonly service: string
  readonly name: string
  readonly version: string
  readonly node: string
}

/** What an operation does one after the other. */
export interface Step {
  /** An operation, or a peer that sends no telemetry. */
  readonly to: string
  /** In how many of its requests, 0 to 1. */
  readonly chance: number
}

export interface Operation {
  readonly service: string
  /** The name of its server span: method and route. */
  readonly name: string
  /** The median of its own time. */
  readonly ownMs: number
  readonly steps: readonly Step[]
}

/** Somebody outside: seen from its callers alone. */
export interface Peer {
  readonly name: string
  /** What a span of a call to it is called. */
  readonly call: string
  readonly takesMs: number
  readonly attributes: Readonly<Record<string, string>>
}

const operation = (
  service: string,
  name: string,
  ownMs: number,
  ...steps: (readonly [to: string, chance?: number])[]
): Operation => ({ service, name, ownMs, steps: steps.map(([to, chance = 1]) => ({ to, chance })) })

export const OPERATIONS: readonly Operation[] = [
  operation('frontend', 'GET /', 9, ['catalog GET /products'], ['recommendations GET /suggestions', 0.9]),
  operation(
    'frontend',
    'GET /product/{id}',
    7,
    ['catalog GET /products/{id}'],
    ['recommendations GET /suggestions', 0.6],
  ),
  operation('frontend', 'POST /cart', 5, ['cart POST /items']),
  operation('frontend', 'POST /checkout', 11, ['checkout POST /orders']),
  operation('catalog', 'GET /products', 6, ['products-db'], ['inventory GET /stock']),
  operation('catalog', 'GET /products/{id}', 4, ['products-db'], ['inventory GET /stock']),
  operation('recommendations', 'GET /suggestions', 14),
  operation('inventory', 'GET /stock', 3, ['stock-cache', 0.9]),
  operation('cart', 'POST /items', 4, ['cart-cache'], ['inventory GET /stock', 0.8]),
  operation('cart', 'GET /items', 3, ['cart-cache']),
  operation(
    'checkout',
    'POST /orders',
    12,
    ['cart GET /items'],
    ['payment POST /charges'],
    ['shipping POST /quotes', 0.97],
    ['orders-db'],
  ),
  operation('payment', 'POST /charges', 18, ['bank.example']),
  operation('shipping', 'POST /quotes', 8),
]

export const PEERS: readonly Peer[] = [
  database('products-db', 'postgresql', 'SELECT products', 5),
  database('orders-db', 'postgresql', 'INSERT orders', 7),
  database('stock-cache', 'redis', 'GET', 0.8),
  database('cart-cache', 'redis', 'HGETALL', 0.9),
  {
    name: 'bank.example',
    call: 'POST',
    takesMs: 60,
    attributes: { 'http.request.method': 'POST', 'server.address': 'bank.example' },
  },
]

function database(name: string, system: string, call: string, takesMs: number): Peer {
  return { name, call, takesMs, attributes: { 'db.system.name': system, 'server.address': name } }
}

/** What comes in from outside, and its part of the whole. */
export const ENTRIES: readonly (readonly [operation: string, part: number])[] = [
  ['frontend GET /', 0.3],
  ['frontend GET /product/{id}', 0.3],
  ['frontend POST /cart', 0.18],
  ['frontend POST /checkout', 0.22],
]

const VERSION = '1.7.2'
const NODES = 3

const PODS: Readonly<Record<string, number>> = {
  frontend: 2,
  catalog: 3,
  recommendations: 2,
  inventory: 2,
  cart: 2,
  checkout: 2,
  payment: 2,
  shipping: 2,
}

export const SERVICES = Object.keys(PODS)

/** Service and index; the names are like those of a Deployment. */
export function podsOf(service: string): Pod[] {
  return Array.from({ length: PODS[service] }, (_, index) => ({
    service,
    name: `${service}-6c9d-${'bcd'[index]}`,
    version: VERSION,
    node: `node-${((SERVICES.indexOf(service) + index) % NODES) + 1}`,
  }))
}

/** The key of an operation in steps and entries. */
export const keyOf = ({ service, name }: Operation): string => `${service} ${name}`
