//! Which names a header in the settings may have.
import { quote } from './row.ts'

const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/
/** Headers that the transport or Otlier itself sets. */
const OWN_HEADERS = new Set(
  'connection content-encoding content-length content-type grpc-encoding grpc-timeout host keep-alive otlier-via te trailer transfer-encoding upgrade user-agent'.split(
    ' ',
  ),
)
/** What is wrong with a name, or null. */
export const wrongHeader = (name: string) => {
  if (!HEADER_NAME.test(name)) return `${quote(name)} is not the name of a header`
  return OWN_HEADERS.has(name.toLowerCase()) ? `${name} is set by Otlier itself` : null
}
