//! What the programs of a proof share: they answer questions, end with who started them, and read one clock.

/** Milliseconds on the clock that all processes of a machine share. */
export const clockMs = () => Number(process.hrtime.bigint() / 1000n) / 1000

/** Answers each question; null answers nothing. */
export function answering(answer: (question: never) => unknown): void {
  process.on('message', async question => {
    process.send?.((await answer(question as never)) ?? null)
  })
  process.on('disconnect', () => process.exit(0))
}
