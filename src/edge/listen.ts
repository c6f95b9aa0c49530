//! Listening, and the ordered end of it, the same for every receiver.
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Cancel } from '../base/world.ts'
import type { Intake, Receiver } from './receiver.ts'

/** How long a connection whose requests have all been answered may take to end: its client may not even read. */
const GRACE_MS = 500

/**
 * @param drain asks the clients to go: called once, when nothing listens any more
 * @returns when the port is bound; rejects with the error of the bind
 */
export async function listen(server: Server, intake: Intake, drain: () => void): Promise<Receiver> {
  const { host, port } = intake.options
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', error => intake.log.debug({ err: error }, 'a connection failed'))
  })
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error) => {
      intake.close()
      reject(error)
    }
    server.once('error', fail)
    server.listen(port, host, () => {
      server.off('error', fail)
      // Later failures concern one accept: too many open files.
      server.on('error', error => intake.log.error({ err: error }, 'a connection could not be accepted'))
      resolve()
    })
  })
  const bound = server.address() as AddressInfo
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  let closed: Promise<void> | null = null
  return {
    port: bound.port,
    change: options => intake.change(options),
    async stop(deadlineMs) {
      let cancel = intake.world.after(deadlineMs, () => {
        intake.dismiss()
        cancel = intake.world.after(GRACE_MS, cut)
      })
      closed ??= new Promise(resolve => {
        let cancelGrace: Cancel = () => {}
        intake.isStopping = true
        server.close(() => {
          cancelGrace()
          resolve()
        })
        drain()
        intake.whenIdle(() => (cancelGrace = intake.world.after(GRACE_MS, cut)))
      })
      intake.close()
      await closed
      cancel()
      intake.pool.close()
    },
  }
}
