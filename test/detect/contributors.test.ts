//! Laws of contributors: what sets the hurt spans apart is named with its shares, and nothing is where nothing does.
import { expect, test } from 'vitest'
import { type Before, contributors, type Population } from '../../src/detect/contributors.ts'
import { chance, int, normal, pick, type Random, seeded, seeds, shuffled } from '../kit/random.ts'

type Said = Readonly<Record<string, string>>
interface Span {
  readonly said: Said
  y: number
}
type Hurt = Population['hurt']
/** By how much a fault raises the logarithm of a duration, or the chance to fail. */
type Fault = (said: Said) => number

/** Spans with attributes of all sorts, some of which always make them slower or likelier to fail, and all of them a little random. */
function spans(random: Random, count: number, hurt: Hurt, fault: Fault): Span[] {
  return Array.from({ length: count }, () => {
    const node = int(random, 9)
    const said: Said = {
      region: ['eu', 'us', 'ap'][node % 3],
      node: `n${node}`,
      version: '1.0',
      tenant: `t${Math.floor(40 * random() ** 3)}`,
      method: chance(random, 0.9) ? 'GET' : 'POST',
      cache: chance(random, 0.8) ? 'hit' : 'miss',
      flag: pick(random, ['on', 'off']),
      thread: `th${int(random, 20)}`,
      user: `u${int(random, 300)}`,
      order: `o${random()}`,
    }
    if (hurt === 'failed') {
      const usual = said.method === 'POST' ? 0.08 : 0.01
      const failed = chance(random, Math.min(1, usual + fault(said)))
      const status = failed ? '503' : '200'
      return { said: { ...said, status }, y: Number(failed) }
    }
    const miss = said.cache === 'miss'
    const tail = chance(random, 0.05) ? 0.5 - Math.log(1 - random()) / 1.5 : 0
    return { said, y: (miss ? 1.8 : 0) + (miss ? 0.7 : 0.35) * normal(random) + tail + fault(said) }
  })
}

function made(random: Random, count: number, hurt: Hurt, fault: Fault, order: Random | null = null) {
  const before = spans(random, 800, hurt, () => 0)
  const drawn = spans(random, count, hurt, fault)
  const now = order === null ? drawn : shuffled(order, drawn)
  const names: string[] = []
  const numbers = new Map<string, number>()
  const keys: string[] = []
  const keyOf: number[] = []
  const numberOf = (key: string, value: string) => {
    const name = `${key}=${value}`
    const known = numbers.get(name)
    if (known !== undefined) return known
    numbers.set(name, names.length)
    if (!keys.includes(key)) keys.push(key)
    keyOf.push(keys.indexOf(key))
    return names.push(name) - 1
  }
  const numbersOf = ({ said }: Span) => Object.entries(said).map(([key, value]) => numberOf(key, value))
  const of = before.map(numbersOf)
  const said = now.map(numbersOf)
  const mean = before.reduce((sum, { y }) => sum + y, 0) / before.length
  if (hurt === 'slow') for (const span of [...before, ...now]) span.y -= mean
  const byName = names.map((): number[] => [])
  for (const [at, list] of of.entries()) for (const number of list) byName[number].push(before[at].y)
  const population: Population = {
    hurt,
    y: now.map(({ y }) => y),
    weight: now.map(() => 1),
    said,
    keyOf,
    before: byName.map(ys => beforeOf(ys, hurt)),
    beforeAll: beforeOf(
      before.map(({ y }) => y),
      hurt,
    ),
    known: [],
  }
  return { population, names }
}

function beforeOf(ys: readonly number[], hurt: Hurt): Before {
  const n = ys.length
  const mean = n === 0 ? 0 : ys.reduce((sum, y) => sum + y, 0) / n
  const variance = n === 0 ? 0 : ys.reduce((sum, y) => sum + (y - mean) ** 2, 0) / n
  return { n, mean, variance, fine: hurt === 'failed' ? ys.filter(y => y === 0).length : n }
}

function named(seed: number, count: number, hurt: Hurt, fault: Fault, order: Random | null = null) {
  const { population, names } = made(seeded(seed * 7919), count, hurt, fault, order)
  return contributors(population).map(found => ({ ...found, name: names[found.attribute] }))
}

const only =
  (key: string, value: string, rise: number): Fault =>
  said =>
    said[key] === value ? rise : 0

test.each<[string, Hurt, number, string, string, number]>([
  ['a region in which spans take three times as long', 'slow', Math.log(3), 'region', 'eu', 98],
  ['a tenant whose spans take three times as long', 'slow', Math.log(3), 'tenant', 't0', 95],
  ['what was always slow, where it alone has become slower', 'slow', Math.log(3), 'cache', 'miss', 95],
  ['a region in which 30 % more fail', 'failed', 0.3, 'region', 'eu', 95],
  ['a node on which half more fail', 'failed', 0.5, 'node', 'n4', 95],
])('%s is named alone, and first', (_, hurt, rise, key, value, atLeast) => {
  const all = seeds(25)
  const found = all.map(seed => named(seed, 300, hurt, only(key, value, rise)))
  const right = found.filter(list => list.length === 1 && list[0].name === `${key}=${value}`)
  expect(right.length).toBeGreaterThanOrEqual((atLeast / 100) * all.length)
})

test('shares are those of the spans that are hurt and of the others', () => {
  const found = seeds(20).flatMap(seed => named(seed, 2000, 'failed', only('region', 'eu', 0.5)))
  const eu = found.filter(({ name }) => name === 'region=eu')
  expect(eu).toHaveLength(seeds(20).length)
  const mean = (of: 'ofHurt' | 'ofNormal') => eu.reduce((sum, each) => sum + each[of], 0) / eu.length
  // A third is in the region. 51.7 % of it fail, and 1.7 % of the rest.
  expect(mean('ofHurt')).toBeCloseTo(0.517 / (0.517 + 2 * 0.017), 1)
  expect(mean('ofNormal')).toBeCloseTo(0.483 / (0.483 + 2 * 0.983), 1)
})

test('what hits all alike names anything in less than one case of a hundred', () => {
  const cases: [Hurt, number][] = [
    ['slow', 0],
    ['slow', Math.log(1.5)],
    ['slow', Math.log(3)],
    ['slow', Math.log(10)],
    ['failed', 0.05],
    ['failed', 0.3],
    ['failed', 1],
  ]
  let all = 0
  let wrong = 0
  for (const [hurt, rise] of cases) {
    for (const seed of seeds(30)) {
      all++
      if (named(seed, 200, hurt, () => rise).length > 0) wrong++
    }
  }
  expect(wrong).toBeLessThan(Math.max(2, 0.01 * all))
})

test('what names the span, and what failing looks like, is never named', () => {
  for (const seed of seeds(20)) {
    for (const { name } of [
      ...named(seed, 200, 'slow', only('user', 'u7', 3)),
      ...named(seed, 200, 'failed', only('region', 'eu', 0.5)),
      ...named(seed, 200, 'failed', () => 0.5),
    ])
      expect(name).not.toMatch(/^(user|order|status)=/)
  }
})

test('the order of spans does not matter', () => {
  for (const seed of seeds(10)) {
    const fault = only('region', 'eu', 1)
    const plain = named(seed, 300, 'slow', fault)
    const mixed = named(seed, 300, 'slow', fault, seeded(seed))
    expect(mixed.map(({ name }) => name)).toEqual(plain.map(({ name }) => name))
    for (const [at, { ofHurt, ofNormal }] of mixed.entries()) {
      expect(ofHurt).toBeCloseTo(plain[at].ofHurt, 9)
      expect(ofNormal).toBeCloseTo(plain[at].ofNormal, 9)
    }
  }
})

test('what is told of otherwise is not found again, and without a past nothing is', () => {
  const { population, names } = made(seeded(7), 400, 'slow', only('region', 'eu', 1.1))
  const known = [names.indexOf('region=eu')]
  expect(contributors(population)).toHaveLength(1)
  expect(contributors({ ...population, known })).toEqual([])
  expect(contributors({ ...population, beforeAll: { n: 0, mean: 0, variance: 0, fine: 0 } })).toEqual([])
})
