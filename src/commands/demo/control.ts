//! Faults on demand: the socket on which a running demo takes them, and `otlier demo inject`, which asks for one.
import { lstatSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { clip } from '../../base/words.ts'
import { FAULT_NAMES, type FaultName, isFaultName } from './faults.ts'
import { type Posts, post, takePosts } from './posts.ts'

const SOCKET = 'otlier-demo.sock'
/** Longer than this no fault lasts. */
export const MOST_FOR_MS = 3_600_000

/** Where demos of this user listen unless told otherwise: in a folder that nobody else can enter. */
export function usualSocket(runtimeDirectory: string | undefined): string {
  return runtimeDirectory === undefined || runtimeDirectory === ''
    ? join(tmpdir(), `otlier-demo-${userInfo().uid}`, SOCKET)
    : join(runtimeDirectory, SOCKET)
}

export interface Wish {
  readonly name: FaultName
  readonly forMs: number
}

/** Takes wishes at `path`; `take` says why not, or null. What is wrong is a sentence: another demo, or a folder that is not this user's own. */
export async function takeWishes(path: string, take: (wish: Wish) => string | null): Promise<Posts | string> {
  const folder = dirname(path)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // Whoever owns the folder could put another socket in its place.
    if (lstatSync(folder).uid !== userInfo().uid) return `${folder} belongs to somebody else`
    if ((await post(path, '')) !== null) return 'another demo takes them already; give each its own --socket'
    // Left by one that was killed.
    rmSync(path, { force: true })
    return await takePosts(path, body => {
      const wish = readWish(body)
      if (typeof wish === 'string') return { status: 400, text: wish }
      const why = take(wish)
      return why === null ? { status: 200, text: '' } : { status: 409, text: why }
    })
  } catch (error) {
    return (error as Error).message
  }
}

/** A wish as it was posted, or what is wrong with it. */
export function readWish(body: string): Wish | string {
  let said: unknown
  try {
    said = JSON.parse(body)
  } catch {
    return 'this is no JSON'
  }
  const { name, forMs } = (typeof said === 'object' && said !== null ? said : {}) as Record<string, unknown>
  if (typeof name !== 'string' || !isFaultName(name))
    return `there is no such fault; known: ${FAULT_NAMES.join(', ')}`
  if (typeof forMs !== 'number' || !(forMs >= 1000 && forMs <= MOST_FOR_MS))
    return 'a fault lasts from 1s to 1h'
  return { name, forMs }
}

/** Asks the demo at `path`. Null where it has done so, else why not. */
export async function wishFor(wish: Wish, path: string): Promise<string | null> {
  try {
    const answer = await post(path, JSON.stringify(wish))
    if (answer === null) return 'no demo is running here; start one with: otlier demo'
    return answer.status === 200 ? null : clip(answer.text, 300)
  } catch (error) {
    return (error as Error).message
  }
}
