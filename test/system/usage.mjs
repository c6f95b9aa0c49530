//! Loaded before a program: says at its end what it cost, CPU time and peak resident memory.
process.on('exit', () => {
  const { user, system } = process.cpuUsage()
  const peakMib = process.resourceUsage().maxRSS / 1024
  process.stderr.write(`usage ${JSON.stringify({ cpuSeconds: (user + system) / 1e6, peakMib })}\n`)
})
