//! What incidents and departures are called: an id that a replay gives again.
import { createHash } from 'node:crypto'

const BASE32 = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** A ULID: the time, and in place of chance what tells it apart, so that a replay gives the same. */
export function incidentId(ms: number, what: string): string {
  let time = ''
  for (let left = Math.floor(ms), n = 0; n < 10; n++, left = Math.floor(left / 32))
    time = BASE32[left % 32] + time
  const digest = createHash('sha256').update(`${ms} ${what}`).digest()
  let rest = ''
  for (let n = 0; n < 16; n++) rest += BASE32[digest[n] & 31]
  return time + rest
}
