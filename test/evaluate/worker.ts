//! A process that does the jobs it is sent, one after the other.
import { type Job, runJob } from './jobs.ts'

process.on('message', (job: Job) => {
  void runJob(job, () => process.send?.({ day: true })).then(
    done => process.send?.({ done }),
    (error: Error) => process.send?.({ failed: `${error.stack}` }),
  )
})
