//! How a part of the service takes over another configuration: prepared first, and then put in force or given up.

export interface Plan {
  /** Puts it in force, at once and without fail. What is left of the old ends in its own time. */
  commit(): void
  /** Settings that it cannot take over while it runs, by their paths: they stay as they are until a restart. */
  readonly restart: readonly string[]
  /** Closes again what was opened for it. */
  cancel(): Promise<void>
}
