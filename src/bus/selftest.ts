//! What a self-test answers: how much of what was injected into copies of real windows was found. Plain values.
import type { Unanswered } from './accounts.ts'

/** A seed is a whole number below this. */
export const SEEDS = 2 ** 32
/** Whether a text is one. */
export const isSeed = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) < SEEDS

/** Faults of one kind and size. */
export interface SelftestRow {
  /** `slow service`, `slow operation`, `slow way`, `failures`, `silence`. */
  readonly kind: string
  /** `x3`, `+20 ms`, `10 %`; empty where there is none. */
  readonly size: string
  /** How many were injected; 0 where no place has enough traffic, or the fault would hardly be one there. */
  readonly trials: number
  /** An incident opened because of it that named the service among its suspects within a minute. */
  readonly detected: number
  /** And named it first. */
  readonly located: number
  /** From the onset to the moment at which the incident is told, in seconds of the windows: the median of those detected, else null. */
  readonly delayS: number | null
}

export interface SelftestReport {
  readonly seed: number
  /** The real windows that were copied: from when to when, in milliseconds since 1970, and how many. */
  readonly fromMs: number
  readonly untilMs: number
  readonly windows: number
  readonly windowMs: number
  readonly rows: readonly SelftestRow[]
  /** Over all rows. */
  readonly trials: number
  readonly detected: number
  readonly located: number
  readonly delayS: number | null
  /** Incidents that faults opened without naming the service. */
  readonly elsewhere: number
  /** Incidents that the windows opened in the copy as they were; and those that they had opened in the running service. */
  readonly falseAlarms: number
  readonly openedForReal: number
  /** Sentences on what limits the answer. */
  readonly limits: readonly string[]
}

export type SelftestState =
  | { readonly state: 'idle' }
  | { readonly state: 'running'; readonly seed: number; readonly done: number; readonly planned: number }
  | { readonly state: 'done'; readonly report: SelftestReport }
  | { readonly state: 'failed'; readonly seed: number; readonly wrong: string }

export interface Selftest {
  /** Begins one, or says why not. A null seed is drawn by chance. */
  start(seed: number | null): { readonly seed: number } | Unanswered
  /** How it stands with the last one. */
  now(): SelftestState
}
