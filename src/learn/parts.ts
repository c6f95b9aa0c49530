//! What of detection can be switched off, to see what it is worth.

/** `calibration`: what is believed beforehand stands for ever. `hours`: what came at the same hours of days before is no excuse. */
export const PARTS = ['calibration', 'explaining', 'floors', 'freeze', 'hours'] as const
export type Part = (typeof PARTS)[number]
