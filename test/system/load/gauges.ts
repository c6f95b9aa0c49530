//! Loaded before Otlier in a proof: tells what the process costs when asked, and ends it with who started it.

/** What a process costs at this moment. */
export interface Gauges {
  readonly cpuUs: number
  readonly rssBytes: number
  readonly heapBytes: number
  /** Kinds of what keeps the event loop busy, sorted. */
  readonly resources: readonly string[]
}

process.on('message', message => {
  if (message !== 'gauges') return
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  const gauges: Gauges = {
    cpuUs: user + system,
    rssBytes: rss,
    heapBytes: heapUsed,
    resources: process.getActiveResourcesInfo().sort(),
  }
  process.send?.(gauges)
})
process.on('disconnect', () => process.exit(0))
// Who is asked to stop must not be kept by being asked.
process.channel?.unref()
