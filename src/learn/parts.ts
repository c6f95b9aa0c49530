//! What of detection can be switched off, to see what it is worth.

/**
 * `calibration`: what is believed beforehand stands for ever. `hours`: what came at the same hours of days before is no excuse. `frailty`:
 * all places of a class are alike. `corroboration`: each sign has to be unusual enough by itself.
 */
export const PARTS = [
  'calibration',
  'corroboration',
  'explaining',
  'floors',
  'frailty',
  'freeze',
  'hours',
] as const
export type Part = (typeof PARTS)[number]
