//! Network addresses in settings: where to listen, and where to send.
import { quote } from './row.ts'
import type { Field } from './settings.ts'
import { MASK, parsed } from './texts.ts'

/** An address to listen on. Port 0 lets the system choose. */
export interface Listen {
  readonly host: string
  readonly port: number
}

/** Where requests are sent. */
export interface Destination {
  /** As the client takes it: a URL with http:// or https://, else `host:port`, `dns:///host:port` or `unix:///path`. */
  readonly url: string
  /** Null when the address has none, and the TLS settings decide. */
  readonly scheme: 'http' | 'https' | null
  /** Without brackets; empty for a Unix socket. */
  readonly host: string
  readonly port: number
}

/** `host:port` in text, IPv6 in brackets. */
export const formatListen = ({ host, port }: Listen) =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** Whether only this machine can reach what listens there. A name other than localhost may stand for anything. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1|::ffff:127(\.\d{1,3}){3})$/i.test(host)

const PORT_MAX = 65_535
const HOST = /^(?:\[(?<six>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?<name>[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})))$/

function splitHost(text: string): string | null {
  const found = HOST.exec(text)?.groups
  return found === undefined ? null : (found.six ?? found.name)
}

function readPort(text: string, min: number): number | { wrong: string } {
  const port = /^(0|[1-9]\d{0,4})$/.test(text) ? Number(text) : -1
  return port >= min && port <= PORT_MAX
    ? port
    : { wrong: `${quote(text)} is not a port; ports go from ${min} to ${PORT_MAX}` }
}

type Wrong = { readonly wrong: string }
const isWrong = (value: unknown): value is Wrong =>
  typeof value === 'object' && value !== null && 'wrong' in value

/** Reads `host:port` (`[::1]:4317`, `:4317` for all interfaces) or `none`, which is null. */
export function parseListen(text: string): Listen | null | Wrong {
  if (text === 'none') return null
  const cut = text.lastIndexOf(':')
  if (/^[a-z]+:\/\//.test(text))
    return { wrong: `${quote(text)} has a scheme; an address to listen on is host:port` }
  if (cut === -1)
    return { wrong: `${quote(text)} has no port; write it as host:port, such as 127.0.0.1:4317` }
  // `:4317` is the Collector's way to say all interfaces.
  const host = cut === 0 ? '::' : splitHost(text.slice(0, cut))
  if (host === null)
    return { wrong: `${quote(text)} is not host:port; an IPv6 address stands in brackets: [::1]:4317` }
  const port = readPort(text.slice(cut + 1), 0)
  return isWrong(port) ? port : { host, port }
}

function shiftPort(address: Listen | null, by: number): Listen | null | string {
  if (address === null || address.port === 0) return address
  const port = address.port + by
  return port >= 1 && port <= PORT_MAX
    ? { host: address.host, port }
    : `port ${address.port} shifted by ${by} is ${port}, and no port`
}

/** An address to listen on; null for `none`. `--port-offset` shifts it. */
export const listen = (initial: string, help: string, later?: string): Field<Listen | null, ''> =>
  parsed<Listen | null>(
    initial,
    `${help} \`none\` switches it off.`,
    {
      empty: null,
      parse: parseListen,
      shift: shiftPort,
      show: value => (value === null ? 'none' : formatListen(value)),
    },
    later === undefined ? {} : { later },
  )

/** Reads what an OTLP/HTTP exporter takes: a URL. */
export function parseUrl(text: string): Destination | Wrong {
  const shown = quote(maskUrl(text))
  if (!/^https?:\/\//i.test(text)) {
    const fixed = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? 'OTLP/HTTP needs' : 'it needs'
    return {
      wrong: `${shown} is not a URL that can be sent to; ${fixed} http:// or https:// in front, as in http://localhost:4318`,
    }
  }
  if (!URL.canParse(text)) return { wrong: `${shown} is not a URL` }
  const url = new URL(text)
  if (url.hash !== '') return { wrong: `${shown} has a fragment (#...), which is never sent` }
  const scheme = url.protocol === 'https:' ? 'https' : 'http'
  const port = url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port)
  return { url: text, scheme, host: bare(url.hostname), port }
}

/** Reads what an OTLP/gRPC exporter takes: `host:port`, with or without http:// or https:// in front. */
export function parseTarget(text: string): Destination | Wrong {
  const shown = quote(maskUrl(text))
  const unix = /^unix:(?:\/\/(?=\/))?([^\s]+)$/.exec(text)
  if (unix !== null) return { url: text, scheme: null, host: '', port: 0 }
  const [, prefix = '', rest] = /^(https?:\/\/|dns:\/\/\/|dns:)?(.*)$/i.exec(text) ?? []
  const scheme = /^http/i.test(prefix) ? (/^https/i.test(prefix) ? 'https' : 'http') : null
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(rest))
    return { wrong: `${shown}: gRPC takes host:port, http://host:port or https://host:port` }
  const address = scheme === null ? rest : rest.replace(/\/$/, '')
  if (address.includes('@'))
    return { wrong: `${shown}: gRPC takes no user name in the address; send credentials in headers` }
  if (address.includes('/'))
    return { wrong: `${shown} has a path, which gRPC does not know; for OTLP/HTTP use the type otlphttp` }
  const cut = address.lastIndexOf(':')
  const withPort = cut > address.lastIndexOf(']') && cut !== -1
  if (!withPort && scheme === null)
    return { wrong: `${shown} has no port; write it as host:port, such as localhost:4317` }
  const host = splitHost(withPort ? address.slice(0, cut) : address)
  if (host === null)
    return { wrong: `${shown} is not host:port; an IPv6 address stands in brackets: [::1]:4317` }
  const port = withPort ? readPort(address.slice(cut + 1), 1) : scheme === 'https' ? 443 : 80
  return isWrong(port) ? port : { url: text, scheme, host, port }
}

const bare = (hostname: string) => hostname.replace(/^\[|\]$/g, '')

/** A password in a URL, or all that stands before an @, becomes the mask. */
export const maskUrl = (url: string) =>
  url.replace(/^([a-z][a-z0-9+.-]*:\/\/)?[^/@]*(?::[^@]*)?@/i, (_, scheme = '') => `${scheme}${MASK}@`)

const NO_DESTINATION: Destination = { url: '', scheme: null, host: '', port: 0 }

/** An address to send to. It has no default. */
export const destination = (help: string, parse: typeof parseUrl, required: string): Field<Destination, ''> =>
  parsed<Destination>(
    null,
    help,
    { empty: NO_DESTINATION, parse, show: value => maskUrl(value.url) },
    { required },
  )
