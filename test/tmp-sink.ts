//! Temporary.
import { createServer } from 'node:http2'

const s = createServer({ settings: { initialWindowSize: 1 << 20 } })
s.on('session', x => {
  x.on('error', () => {})
  x.setLocalWindowSize(16 << 20)
})
s.on('stream', (st, h) => {
  st.on('error', () => {})
  st.on('data', () => {})
  st.on('end', () => {
    st.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    st.on('wantTrailers', () => st.sendTrailers({ 'grpc-status': '0' }))
    st.end(Buffer.alloc(5))
  })
})
s.listen(0, '127.0.0.1', () => {
  console.log((s.address() as any).port)
})
