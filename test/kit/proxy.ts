//! A TCP proxy that treats connections as a bad network does: it swallows them, cuts them, or slows them down.
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * `stall`: nothing is carried until the weather changes, and then all of it. `hole`: bytes go in and none come out, in either direction, and nothing is ever closed. Connections that were in one stay
 * there: a route that has come back knows nothing of them.
 */
export type Weather =
  | { readonly kind: 'pass' }
  | { readonly kind: 'stall' }
  | { readonly kind: 'hole' }
  /** Every connection is reset when it has carried so many bytes towards the target. */
  | { readonly kind: 'reset'; readonly afterBytes: number }
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }

export interface Proxy {
  readonly port: number
  /** Holds for what comes from now on. */
  weather: Weather
  /** Connections that the proxy has had. */
  readonly connections: number
  /** How many of them it has reset. */
  readonly resets: number
  stop(): Promise<void>
}

const HOST = '127.0.0.1'
const STALL_LOOK_MS = 10

export async function startProxy(targetPort: number, weather: Weather = { kind: 'pass' }): Promise<Proxy> {
  const sockets = new Set<Socket>()
  let connections = 0
  let resets = 0
  const track = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    return socket
  }
  const server = createServer({ noDelay: true }, near => {
    track(near)
    connections++
    const far = track(connect({ port: targetPort, host: HOST, noDelay: true }))
    let isLost = false
    let carried = 0
    const end = (one: Socket, other: Socket) =>
      one.on('close', () => {
        // Whoever is behind a hole does not hear of the end either.
        if (!isLost && proxy.weather.kind !== 'hole') other.destroy()
      })
    end(near, far)
    end(far, near)
    /** Serves one direction. False while it is to wait. */
    const carry = async (from: Socket, to: Socket, chunk: Buffer, isForward: boolean) => {
      isLost ||= proxy.weather.kind === 'hole'
      if (isLost || to.destroyed) return
      if (isForward) carried += chunk.length
      if (proxy.weather.kind === 'reset' && isForward && carried > proxy.weather.afterBytes) {
        to.write(chunk.subarray(0, Math.max(0, chunk.length - (carried - proxy.weather.afterBytes))))
        resets++
        near.resetAndDestroy()
        far.destroy()
        return
      }
      while (proxy.weather.kind === 'stall' && !from.destroyed) {
        from.pause()
        await sleep(STALL_LOOK_MS)
      }
      if (proxy.weather.kind === 'slow') {
        from.pause()
        await sleep((1000 * chunk.length) / proxy.weather.bytesPerSecond)
      }
      if (!to.write(chunk)) {
        from.pause()
        to.once('drain', () => from.resume())
      } else from.resume()
    }
    near.on('data', (chunk: Buffer) => void carry(near, far, chunk, true))
    far.on('data', (chunk: Buffer) => void carry(far, near, chunk, false))
  })
  await new Promise<void>(resolve => server.listen(0, HOST, resolve))
  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    weather,
    get connections() {
      return connections
    },
    get resets() {
      return resets
    },
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
  return proxy
}
