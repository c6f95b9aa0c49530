//! Trial of the vitest API.
import { createVitest } from 'vitest/node'
import { fileURLToPath } from 'node:url'
import { resolve } from 'node:path'
const root = fileURLToPath(new URL('../..', import.meta.url))
async function run(patch: {file: string, find: string, put: string} | null, file: string, name: string) {
  const t = performance.now()
  let applied = false
  const vitest = await createVitest({
    config: false, root, include: [file], testNamePattern: name, watch: false, pool: 'forks', reporters: [{}],
    maxWorkers: 1, fsModuleCache: process.env.CACHE === '1' ? true : false, fsModuleCachePath: '/tmp/teethcache', testTimeout: 20_000,
  }, { plugins: [{ name: 'tooth', enforce: 'pre', configureVitest(c) { c.defineCacheKeyGenerator(({id}) => patch !== null && id === resolve(root, patch.file) ? false : undefined) }, transform(code: string, id: string) { if (process.env.DBG) console.log('T', id);
     if (patch && id === resolve(root, patch.file)) { applied = true; if (!code.includes(patch.find)) throw new Error('moved'); return code.replace(patch.find, patch.put) } return null } }] })
  await vitest.start()
  const out: unknown[] = []
  for (const m of vitest.state.getTestModules()) {
    for (const e of m.errors()) out.push(['module error', e.name, e.message])
    for (const test of m.children.allTests()) {
      const r = test.result()
      if (r.state !== 'skipped') out.push([test.fullName, r.state, r.errors?.map(e => [e.name, e.message.slice(0, 100)])])
    }
  }
  await vitest.close()
  console.log(Math.round(performance.now() - t), applied, JSON.stringify(out))
}
const len = { file: 'src/wire/cursor.ts', find: 'return value > end - at ? BROKEN : at', put: 'return at' }
const args = [null, 'test/wire/check.test.ts', 'a length that promises more'] as const
await run(...args)
await run(len, args[1], args[2])
await Promise.all([run(len, args[1], args[2]), run(null, args[1], args[2])])
await Promise.all([run(null, 'test/edge/receivers/both.test.ts', 'S2 the limit holds after'), run({file: 'src/edge/decompress.ts', find: 'if (length > maxBytes) {', put: 'if (length < 0) {'}, 'test/edge/receivers/both.test.ts', 'over http > S2 the limit holds after')])
