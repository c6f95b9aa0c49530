//! Temporary.
import { split, halve } from '../src/wire/split.ts'
import { tracesRequest } from './kit/odd.ts'
const spans = Array.from({length: 150}, (_, n) => ({ name: `op ${n}`, startNs: 1n, durationNs: 5, attributes: { a: 'x'.repeat(300), b: n } }))
const one = tracesRequest([{ service: 'shop', spans }])
// one resource with very many spans: take the scope's span bytes many times
import { concat, delimited } from './oracle/bytes.ts'
const span = delimited(2, Buffer.alloc(0)); void span
const body = delimited(2, concat(Array.from({length: 150000}, () => delimited(2, concat([delimited(5, 'name'), delimited(9, concat([delimited(1,'k'), delimited(2, delimited(1,'x'.repeat(400)))]))])))))
const big = delimited(1, concat([delimited(1, delimited(1, concat([delimited(1,'service.name'), delimited(2, delimited(1,'shop'))]))), body]))
console.log('one resource', big.length)
let t = performance.now(); let n = 0, items = 0, most = 0
for (const p of split('traces', big, 3.5*2**20)) { n++; items += p.items; most = Math.max(most, p.bytes.length) }
console.log(n, items, most, (performance.now()-t).toFixed(0), 'ms')
t = performance.now(); const h = halve('traces', big)!; console.log(h[0].items, h[1].items, (performance.now()-t).toFixed(0), 'ms')
const many = concat(Array.from({length: 900}, () => one)); console.log('many resources', many.length)
t = performance.now(); n = 0; for (const p of split('traces', many, 3.5*2**20)) { n++; void p } console.log(n, (performance.now()-t).toFixed(0), 'ms')
const tiny = delimited(1, concat([delimited(1, delimited(1, 'x')), delimited(2, new Uint8Array(60*2**20).map((_, i) => i % 2 === 0 ? 0x12 : 0))]))
t = performance.now(); n = 0; items = 0; for (const p of split('traces', tiny, 3.5*2**20)) { n++; items += p.items } console.log('tiny', n, items, (performance.now()-t).toFixed(0), 'ms')
