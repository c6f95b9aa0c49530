//! Several export requests of one signal as one: everything at the top of a request is repeated, so their bytes simply follow each other.

/** The concatenation. A single part is returned as it is, not copied. */
export function merge(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]
  let length = 0
  for (const part of parts) length += part.length
  const whole = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
