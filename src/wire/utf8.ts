//! UTF-8 as it should be: what stands in for bytes that are none.

/** U+FFFD, written where text cannot be represented. */
export const REPLACEMENT = 0xfffd

/** The length of the well-formed UTF-8 sequence at `at`, or minus the number of bytes that one U+FFFD stands for. */
export function sequenceAt(bytes: Uint8Array, at: number, end: number): number {
  const lead = bytes[at]
  if (lead < 0x80) return 1
  if (lead < 0xc2 || lead > 0xf4) return -1
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  // The second byte keeps out overlong forms, surrogates and what lies above U+10FFFF.
  const least = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const most = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  if (at + 1 >= end || bytes[at + 1] < least || bytes[at + 1] > most) return -1
  for (let i = 2; i < size; i++) {
    if (at + i >= end || (bytes[at + i] & 0xc0) !== 0x80) return -i
  }
  return size
}
