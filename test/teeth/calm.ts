//! Teeth of what keeps detection quiet: samples that stand for many, ways that are slow together, rushes, what passes by, and levels that stay.
import { teethIn } from './tooth.ts'

export const CALM = [
  ...teethIn('learn/ways.test.ts', [
    {
      row: 'calm',
      guard: 'what chance slows at the same time grows with the number of ways',
      file: 'detect/together.ts',
      on: 'Math.max(LEAST, moreThan(share * watched, BY_CHANCE))',
      off: 'LEAST',
      test: 'of 700 ways the one that is slow is seen in most windows of twenty seconds',
    },
    {
      row: 'calm',
      guard: 'ways that are slow together are set aside',
      file: 'learn/ways.ts',
      on: 'if (++others >= this.together.most[scale]) return true',
      off: '',
      test: "a hiccup that slows a quarter of 150 ways is nobody's fault",
    },
  ]),
  ...teethIn('detect/excess.test.ts', [
    {
      row: 'calm',
      guard: 'an excess is measured by the mean excess of the place',
      file: 'detect/excess.ts',
      on: 'const own = (PRIOR * this.#usual + n * this.#numbers[at + 1]) / (PRIOR + n)',
      off: 'const own = this.#usual',
      test: 'an excess is measured by the mean excess of the place',
    },
    {
      row: 'calm',
      guard: 'what was no calm time teaches nothing of them',
      file: 'learn/feature.ts',
      on: 'if (isCalm && this.#run !== null) this.excess.learn(this.#run)',
      off: 'if (this.#run !== null) this.excess.learn(this.#run)',
      test: 'what was calm is learned when it is over, and what was none never',
    },
  ]),
  ...teethIn('learn/calls.test.ts', [
    {
      row: 'calm',
      guard: 'calls that a step makes in place of its operation are made',
      file: 'learn/calls.ts',
      on: 'if (!call.isMoved) return',
      off: 'return',
      test: 'calls that a new step makes in place of its operation are not missing',
    },
  ]),
  ...teethIn('learn/returns.test.ts', [
    {
      row: 'calm',
      guard: 'what comes back is over later',
      file: 'learn/incidents.ts',
      on: 'QUIET_WINDOWS * patience(incident.returns)',
      off: 'QUIET_WINDOWS * patience(0)',
      test: 'what is slow for two of every four minutes is told a few times',
    },
  ]),
  ...teethIn('learn/suspects.test.ts', [
    {
      row: 'calm',
      guard: 'a call now and then is no storm of them',
      file: 'learn/suspects.ts',
      on: '(now + FEW_CALLS) / (usual + FEW_CALLS)',
      off: 'now / usual',
      test: 'a caller with a call now and then is not named',
    },
    {
      row: 'calm',
      guard: 'who tries again more often than ever is named before who merely asks more',
      file: 'learn/suspects.ts',
      on: "most('beyond') ?? most('often')",
      off: "most('often')",
      test: 'who tries again more often in a row than ever',
    },
  ]),
  ...teethIn('learn/repeats.test.ts', [
    {
      row: 'calm',
      guard: 'a call that was once made again and again is forgotten',
      file: 'learn/repeats.ts',
      on: 'this.usual = Math.max(1, this.usual - 1)',
      off: 'this.usual += 0',
      test: 'what was reached once is forgotten',
    },
  ]),
  ...teethIn('detect/tracks.test.ts', [
    {
      row: 'calm',
      guard: 'the end of a surge is measured from what was usual before it',
      file: 'detect/counts.ts',
      on: 'return this.expected > SURGE * least ? least : this.expected',
      off: 'return Math.max(least, this.expected)',
      test: 'the end of a surge is no loss',
    },
  ]),
  ...teethIn('detect/frailty.test.ts', [
    {
      row: 'calm',
      guard: 'a restless place counts for less',
      file: 'detect/unusual.ts',
      on: ' - this.#slope * frailty(own, this.usual)',
      off: '',
      test: 'the same z is less surprising at a restless place',
    },
    {
      row: 'calm',
      guard: 'a fault makes no place restless',
      file: 'learn/evidence.ts',
      on: 'if (isCalm) feature.calmDepartures++',
      off: 'feature.calmDepartures++',
      test: 'departures of calm times are counted, and faults are not',
    },
  ]),
  ...teethIn('learn/plane.test.ts', [
    {
      row: 'calm',
      guard: 'what begins later next door is told by itself',
      file: 'learn/gather.ts',
      on: 'const early = feature.sinceMs - incident.sinceMs <= GATHER_MS',
      off: 'const early = feature.decisive < 6 || feature.sinceMs - incident.sinceMs <= GATHER_MS',
      test: 'what begins later next door has an incident of its own',
    },
    {
      row: 'calm',
      guard: 'shares are of the effective number of samples',
      file: 'learn/weights.ts',
      on: 'feature.b += whole / unit',
      off: 'feature.b += whole',
      test: 'one span that stands for ten is no more certain than one that stands for itself',
    },
    {
      row: 'calm',
      guard: 'what a rush of requests explains is no departure',
      file: 'learn/feature.ts',
      on: 'return isWork ? this.place.service.load.more[scale] : 0',
      off: 'return isWork ? 0 : 0',
      test: 'a rush of requests may slow down who is asked',
    },
    {
      row: 'calm',
      guard: 'a stall that passed by itself says how often its like comes',
      file: 'learn/doubt.ts',
      on: 'if (lastedMs > PASSING_MS) return',
      off: 'if (lastedMs > 0) return',
      test: 'a network that stalls for half a minute is told once and not each time',
    },
  ]),
  ...teethIn('learn/corroboration.test.ts', [
    {
      row: 'calm',
      guard: 'what is told from the same spans is one sign',
      file: 'learn/corroboration.ts',
      on: 'if (other !== sign) sum += surprise',
      off: 'sum += surprise',
      test: 'the same spans are one sign',
    },
  ]),
  ...teethIn('learn/hindsight.test.ts', [
    {
      row: 'calm',
      guard: 'a bad day teaches no more than three peaks',
      file: 'learn/hindsight.ts',
      on: 'if (this.#noted.length >= MOST_A_DAY) continue',
      off: '',
      test: 'of a day full of faults no more than three teach',
    },
  ]),
  ...teethIn('learn/releases.test.ts', [
    {
      row: 'calm',
      guard: 'an operation that appears without a release has taken over nothing',
      file: 'learn/releases.ts',
      on: 'Math.abs(sinceMs - this.#podMs) < TAKES_MS &&',
      off: '',
      test: 'an operation that appears without a release',
    },
  ]),
  ...teethIn('learn/levels.detection.ts', [
    {
      row: 'calm',
      guard: 'a pod keeps by how much it lies above its siblings',
      file: 'detect/location.ts',
      on: 'this.#above = Math.max(0, this.#above + shift)',
      off: '',
      test: 'for good: a pod that takes four times as long',
    },
    {
      row: 'calm',
      guard: 'what comes and goes is adopted by nobody',
      file: 'learn/evidence.ts',
      on: 'if (passesFloor(feature.class, feature.judged[SCALES.length - 1])) {',
      off: 'if (feature.calm >= 0) {',
      test: 'what comes and goes is told, and is no new level',
    },
  ]),
]
