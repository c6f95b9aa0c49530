//! Which attributes set apart the spans that are hurt from those that are not: found among all, with a correction for how many were tried.
import { asNormal, doubtOf, effective, oddsZ, tailOf } from './significance.ts'

/** Spans of one place while it departs, with what they say, and what such spans were like before. Attributes are numbers from 0 on. */
export interface Population {
  /** `slow`: `y` is the logarithm of a duration less the usual one of its series. `failed`: 1 where the span failed, else 0. */
  readonly hurt: 'slow' | 'failed'
  readonly y: ArrayLike<number>
  /** For how many spans each stands. */
  readonly weight: ArrayLike<number>
  /** By span: its attributes, each once. */
  readonly said: readonly ArrayLike<number>[]
  /** By attribute: a number for its key. */
  readonly keyOf: readonly number[]
  /** By attribute, and over all spans. */
  readonly before: readonly Before[]
  readonly beforeAll: Before
  /** These are told of otherwise: found is only what they do not explain. */
  readonly known: readonly number[]
}

/** What spans were like before the departure: how many (effectively), mean and variance of `y`. */
export interface Before {
  readonly n: number
  readonly mean: number
  readonly variance: number
  /** How many of them had not failed. */
  readonly fine: number
}

export interface Contributor {
  readonly attribute: number
  /** Its share of the spans that are hurt, and of the others. */
  readonly ofHurt: number
  readonly ofNormal: number
  /** How far out it lies, in standard errors. */
  readonly z: number
}

/** The chance that something is named where nothing sets the hurt ones apart. */
const ALPHA = 0.002
const MOST = 3
/** Spans with and without the attribute that are needed, and among those with it that failed; effective numbers. */
const LEAST = 5
/** Without so many spans from before nothing is compared. */
const LEAST_BEFORE = 30
/** So much must rise, as a logarithm of durations or as a share. */
const LEAST_RISE = { slow: Math.log(1.3), failed: 0.05 } as const
/** The rest rises by less than this part of it. */
const REST = 2 / 3
/** So many standard errors of it more than the rest, where shares are compared. */
const RISE_Z = 2.5
/** The least share of the hurt ones, and how many times its share of the others. */
const LEAST_SHARE = 0.2
const LEAST_LIFT = 2
/** A key with more different values than this part of its spans names the span, and no kind of span. */
const IDENTIFIES = 0.5
/** Attributes that so large a part of the spans of either share are had by nearly the same ones. */
const ALIKE = 0.9
/** Where of a larger kind of spans those beside the one found lie so far out, too, it is the larger kind that is hurt. */
const REST_Z = 2
/** What is believed of an attribute that was seldom seen: as if so many spans of the usual kind had been seen with it. */
const PRIOR = 10
/** However alike the values of a key are, they differ by this part of the variance from span to span. */
const LEAST_BETWEEN = 0.05

/** Sums over spans. */
class Sums {
  rows = 0
  failures = 0
  w = 0
  w2 = 0
  wy = 0
  wyy = 0
  /** Of those that failed, weights and their squares. */
  f = 0
  f2 = 0

  add(weight: number, y: number): void {
    this.rows++
    this.w += weight
    this.w2 += weight * weight
    this.wy += weight * y
    this.wyy += weight * y * y
    if (y < 1) return
    this.failures++
    this.f += weight
    this.f2 += weight * weight
  }

  /** These without those. */
  less(other: Sums): Sums {
    const rest = new Sums()
    for (const name of ['rows', 'failures', 'w', 'w2', 'wy', 'wyy', 'f', 'f2'] as const)
      rest[name] = this[name] - other[name]
    return rest
  }

  /** The effective number of spans. */
  get n(): number {
    return effective(this.w, this.w2)
  }

  get mean(): number {
    return this.wy / this.w
  }

  /** Of one span; unbiased by the effective number. */
  get variance(): number {
    const { n, mean } = this
    return n > 1 ? Math.max(0, (this.wyy / this.w - mean * mean) * (n / (n - 1))) : Number.POSITIVE_INFINITY
  }
}

/**
 * The attributes that set the hurt spans apart, strongest first, at most three. One is found where spans with it have risen, against what
 * they were like before, by clearly more than those without it. The next must show the same within those with it, or within those
 * without, so that what follows from another is not named beside it. Of attributes that nearly the same spans have, the one is named whose
 * key has the fewest values. Means are compared by Welch's test with a prior for what was seen seldom before, shares by the logarithm of
 * the odds with Jeffreys' prior (Haldane 1956, Gart 1966), both one-sided and with Bonferroni's correction.
 */
export function contributors(population: Population): Contributor[] {
  const { y, said, known, beforeAll } = population
  if (beforeAll.n < LEAST_BEFORE) return []
  const values = valuesOf(population)
  let parts: number[][] = [Array.from(y, (_, row) => row)]
  for (const attribute of known) parts = divided(parts, said, attribute)
  const found: Contributor[] = []
  const seen = new Set(known)
  let tried = 0
  while (found.length < MOST) {
    const candidates: Candidate[] = []
    for (const part of parts) {
      const sums = sumsOf(population, part)
      for (const [attribute, own] of sums.by) {
        if (seen.has(attribute) || isIdentifier(values[population.keyOf[attribute]])) continue
        const rest = sums.all.less(own)
        if (own.n < LEAST || rest.n < LEAST || own.rows < LEAST || rest.rows < LEAST) continue
        tried++
        const { z, rise } = risen(population, attribute, own, rest)
        if (z > 0) candidates.push({ attribute, z, rise, part })
      }
    }
    candidates.sort((a, b) => b.z - a.z || a.attribute - b.attribute)
    let named: Contributor | null = null
    for (const candidate of candidates) {
      if (tried * tailOf(candidate.z) > ALPHA) break
      const { attribute, z, rise } = broadest(candidate, candidates, population, values)
      const shares = sharesOf(population, attribute, rise)
      if (shares.ofHurt < LEAST_SHARE || shares.ofHurt < LEAST_LIFT * shares.ofNormal) continue
      named = { attribute, z, ...shares }
      break
    }
    if (named === null) break
    found.push(named)
    seen.add(named.attribute)
    parts = divided(parts, said, named.attribute)
  }
  return found
}

interface Candidate {
  readonly attribute: number
  readonly z: number
  readonly rise: number
  readonly part: readonly number[]
}

/** How many spans have a key, and how many values it has. */
interface Values {
  spans: number
  readonly different: Set<number>
}

function valuesOf({ said, keyOf }: Population): Values[] {
  const values: Values[] = []
  for (const attributes of said) {
    for (let at = 0; at < attributes.length; at++) {
      const attribute = attributes[at]
      const of = (values[keyOf[attribute]] ??= { spans: 0, different: new Set() })
      of.spans++
      of.different.add(attribute)
    }
  }
  return values
}

const isIdentifier = ({ spans, different }: Values): boolean => different.size > IDENTIFIES * spans

/** Each part divided into those with the attribute and those without. */
function divided(parts: readonly number[][], said: Population['said'], attribute: number): number[][] {
  const has = (row: number) => Array.prototype.includes.call(said[row], attribute)
  return parts
    .flatMap(part => [part.filter(has), part.filter(row => !has(row))])
    .filter(part => part.length >= 2 * LEAST)
}

function sumsOf({ y, weight, said }: Population, part: readonly number[]) {
  const all = new Sums()
  const by = new Map<number, Sums>()
  for (const row of part) {
    all.add(weight[row], y[row])
    const attributes = said[row]
    for (let at = 0; at < attributes.length; at++) {
      let sums = by.get(attributes[at])
      if (sums === undefined) by.set(attributes[at], (sums = new Sums()))
      sums.add(weight[row], y[row])
    }
  }
  return { all, by }
}

const NOTHING = { z: 0, rise: 0 }

/** How much spans with an attribute have risen, and how far out that lies against those without. */
function risen(population: Population, attribute: number, own: Sums, rest: Sums) {
  return population.hurt === 'slow'
    ? slower(population, attribute, own, rest)
    : failsMore(population, attribute, own, rest)
}

/** Whether spans with it have become slower than those without by more than they were before. */
function slower(population: Population, attribute: number, own: Sums, rest: Sums) {
  const { beforeAll, before } = population
  const between = betweenOf(population, attribute)
  const precision = before[attribute].n / beforeAll.variance
  // Between its own mean and that of all, by how much each is worth.
  const usual = (before[attribute].mean * precision + beforeAll.mean / between) / (precision + 1 / between)
  const usualRest = withoutMean(beforeAll, before[attribute])
  const rise = own.mean - usual
  const restRise = rest.mean - usualRest
  if (rise < LEAST_RISE.slow || restRise > REST * rise) return NOTHING
  const a = own.variance / own.n
  const b = rest.variance / rest.n
  const prior = 1 / (precision + 1 / between) + beforeAll.variance / beforeAll.n
  const freedom = (a + b) ** 2 / (a ** 2 / (own.n - 1) + b ** 2 / (rest.n - 1))
  const t = (rise - restRise) / Math.sqrt(a + b + prior)
  return { z: Number.isFinite(freedom) ? asNormal(t, freedom) : 0, rise }
}

/** The variance of usual means between the values of a key, by the method of moments. */
function betweenOf({ before, beforeAll, keyOf }: Population, attribute: number): number {
  let n = 0
  let squares = 0
  let groups = 0
  for (let other = 0; other < before.length; other++) {
    if (keyOf[other] !== keyOf[attribute] || before[other].n < 1) continue
    groups++
    n += before[other].n
    squares += before[other].n * (before[other].mean - beforeAll.mean) ** 2
  }
  const { variance } = beforeAll
  const found = groups > 1 ? (squares - (groups - 1) * variance) / n : 0
  return Math.max(LEAST_BETWEEN * variance, found)
}

function withoutMean(all: Before, own: Before): number {
  const n = all.n - own.n
  return n >= 1 ? (all.n * all.mean - own.n * own.mean) / n : all.mean
}

/** Whether spans with it fail more often than those without by more than they did before. */
function failsMore({ beforeAll, before }: Population, attribute: number, own: Sums, rest: Sums) {
  const all = { f: own.f + rest.f, f2: own.f2 + rest.f2, w: own.w + rest.w, w2: own.w2 + rest.w2 }
  const fineRows = own.rows - own.failures
  // What no span without a failure has says what failing looks like, and not whom it hits.
  if (own.failures < LEAST || fineRows + before[attribute].fine < 2) return NOTHING
  const usual =
    (before[attribute].n * before[attribute].mean + PRIOR * beforeAll.mean) / (before[attribute].n + PRIOR)
  const usualRest = withoutMean(beforeAll, before[attribute])
  const rise = own.mean - usual
  const restRise = rest.mean - usualRest
  if (rise < LEAST_RISE.failed || restRise > REST * rise) return NOTHING
  // The odds below do not know that spans with it may always have failed more often.
  const doubt =
    doubtOf(own.mean, own.n) + doubtOf(rest.mean, rest.n) + doubtOf(usual, before[attribute].n + PRIOR)
  if (rise - restRise < RISE_Z * Math.sqrt(doubt)) return NOTHING
  const fine = all.w - all.f
  const fine2 = all.w2 - all.f2
  if (!(all.f2 > 0 && fine2 > 0)) return NOTHING
  // Effective numbers of spans: hurt and fine, with it and without.
  const hurtN = (all.f * all.f) / all.f2
  const fineN = (fine * fine) / fine2
  const hurtShare = own.f / all.f
  const fineShare = (own.w - own.f) / fine
  const z = oddsZ(hurtN * hurtShare, hurtN * (1 - hurtShare), fineN * fineShare, fineN * (1 - fineShare))
  return { z, rise }
}

/**
 * The kind of spans that is hurt, where one of them has been found: of the attributes that nearly the same spans have, the one whose key
 * has the fewest values; else one of more spans, where those that it has beside are hurt as well.
 */
function broadest(
  found: Candidate,
  candidates: readonly Candidate[],
  population: Population,
  values: readonly Values[],
): Candidate {
  const { said, keyOf } = population
  const { part } = found
  const has = (attribute: number) => (row: number) => Array.prototype.includes.call(said[row], attribute)
  const own = part.filter(has(found.attribute))
  const size = ({ attribute }: Candidate) => values[keyOf[attribute]].different.size
  let same = found
  for (const other of candidates) {
    if (other === found || other.part !== part) continue
    const rows = part.filter(has(other.attribute))
    const both = own.filter(has(other.attribute)).length
    if (both >= ALIKE * (rows.length + own.length - both)) {
      if (size(other) < size(same) || (size(other) === size(same) && other.attribute < same.attribute))
        same = other
    } else if (both >= ALIKE * own.length) {
      const beside = sumsOf(
        population,
        rows.filter(row => !has(found.attribute)(row)),
      ).all
      const rest = sumsOf(
        population,
        part.filter(row => !has(other.attribute)(row)),
      ).all
      if (Math.min(beside.n, beside.rows, rest.n, rest.rows) < LEAST) continue
      if (risen(population, other.attribute, beside, rest).z >= REST_Z) return other
    }
  }
  return same
}

/** Shares among all spans. Slow is what is nearer to what has risen than to what is usual. */
function sharesOf({ y, weight, said, hurt, beforeAll }: Population, attribute: number, rise: number) {
  const limit = hurt === 'failed' ? 0.5 : beforeAll.mean + rise / 2
  const own = [0, 0]
  const all = [0, 0]
  for (let row = 0; row < said.length; row++) {
    const which = y[row] > limit ? 1 : 0
    all[which] += weight[row]
    if (Array.prototype.includes.call(said[row], attribute)) own[which] += weight[row]
  }
  return {
    ofHurt: all[1] > 0 ? own[1] / all[1] : 0,
    ofNormal: all[0] > 0 ? own[0] / all[0] : 0,
  }
}
