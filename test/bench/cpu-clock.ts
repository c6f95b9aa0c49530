//! Loaded ahead of every program of the bench: tells the CPU time of its process when asked, and ends it with the bench.
process.on('message', message => {
  if (message !== 'cpu') return
  const { user, system } = process.cpuUsage()
  process.send?.({ cpuUs: user + system })
})
process.on('disconnect', () => process.exit(0))
