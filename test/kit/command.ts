//! A command as the program runs it, in this process: its exit code, and what it prints.
import { vi } from 'vitest'

/** One at a time: the console is this process's. */
export async function runCommand(
  command: (args: readonly string[]) => number | Promise<number>,
  args: readonly string[],
) {
  const [out, errors] = [vi.spyOn(console, 'log'), vi.spyOn(console, 'error')]
  const lines = (spy: typeof out) => spy.mock.calls.map(([line]) => `${line}\n`).join('')
  for (const spy of [out, errors]) spy.mockImplementation(() => {})
  try {
    const status = await command(args)
    return { status, stdout: lines(out), stderr: lines(errors) }
  } finally {
    for (const spy of [out, errors]) spy.mockRestore()
  }
}
