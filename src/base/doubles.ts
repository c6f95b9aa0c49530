//! Short columns of doubles for what there is of each series: 48 bytes beside the numbers, where a typed array has 200 and more.

/** V8 keeps the numbers in one piece once one of them is a fraction, and for good. */
export const doubles = (length: number, value = 0): number[] =>
  new Array<number>(length).fill(0.5).fill(value)
