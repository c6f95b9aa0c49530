//! What stands open to the network: said loudly at the start, because the defaults do not do it.
import { formatListen, isLoopback, type Listen } from '../base/endpoints.ts'
import type { Config } from '../config.ts'
import { listeners } from './settle-config.ts'

/** A sentence for each address that others than this machine can reach, and that lets them do or see more than they should. */
export function exposures(config: Config): string[] {
  return listeners(config).flatMap(({ path, address }) => {
    if (isLoopback(address.host)) return []
    const name = /^receivers\.otlp\.protocols\.(grpc|http)\.endpoint$/.exec(path)?.[1]
    const lacking = name === undefined ? lackOfAdmin(path) : lackOfReceiver(config, name as 'grpc' | 'http')
    return lacking === null ? [] : [`${where(path, address)} ${lacking}`]
  })
}

const where = (path: string, address: Listen) => `${path} ${formatListen(address)} is open to the network`

/** Only in parts is it safe: tokens without TLS can be read on the way, TLS without tokens or client certificates lets everybody send. */
function lackOfReceiver(config: Config, name: 'grpc' | 'http'): string | null {
  const protocol = config.receivers.otlp.protocols[name]
  if (protocol === null) return null
  const { tls, auth } = protocol
  const isAsked = auth.bearerTokenFile !== null || auth.basicFile !== null
  if (tls.certFile === null) {
    return isAsked
      ? 'without TLS: telemetry, tokens and passwords can be read on the way. Set tls.'
      : 'without TLS and without authentication: whoever reaches it can send, and what is sent can be read on the way. Set tls and auth, or listen on 127.0.0.1.'
  }
  return isAsked || tls.clientCaFile !== null
    ? null
    : 'without authentication: whoever reaches it can send. Set auth or tls.client_ca_file, or listen on 127.0.0.1.'
}

function lackOfAdmin(path: string): string | null {
  // Health says no more than whether it is well.
  if (path === 'service.health.endpoint') return null
  return 'without TLS and without authentication: whoever reaches it can read the names of services and operations. Let only those reach it who may.'
}
