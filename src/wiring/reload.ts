//! A reload: another configuration is prepared while the old one runs, and put in force as a whole or not at all.
import type { Registry } from '../base/counters.ts'
import type { Log } from '../base/log.ts'
import { renderProblem } from '../base/tree.ts'
import { failedBind } from '../commands/banner.ts'
import type { Settled } from '../commands/settle-config.ts'
import type { Config } from '../config.ts'
import { needRestart } from './changes.ts'
import type { Plan } from './plan.ts'

export interface ReloadParts {
  /** The configuration of the start. */
  readonly started: Config
  /** Each prepares its part, and rejects with a sentence where it cannot. */
  readonly plans: readonly ((config: Config) => Promise<Plan>)[]
  /** Called with what is in force from now on. */
  readonly applied: (config: Config) => void
  /** Whether the service stops: nothing new is begun then. */
  readonly isStopping: () => boolean
}

/** Takes over a configuration that has been read. Resolves to whether it is in force; the log says why where it is not. Never rejects. */
export type Reload = (settled: Settled) => Promise<boolean>

export function makeReload(parts: ReloadParts, log: Log, registry: Registry): Reload {
  const results = (['applied', 'refused'] as const).map(result =>
    registry.counter(
      'otlier.config.reloads',
      '{reload}',
      'Configurations that were read again while running, and what became of them.',
      { result },
    ),
  )
  const [applied, refused] = results
  let last: Promise<unknown> = Promise.resolve()

  async function reload({ config, problems }: Settled): Promise<boolean> {
    const errors = problems.filter(({ severity }) => severity === 'error')
    if (errors.length > 0) return refuse(errors.map(renderProblem))
    for (const problem of problems) log.warn({}, renderProblem(problem))
    const ready: Plan[] = []
    const giveUp = async (why: string) => {
      await Promise.all(ready.map(plan => plan.cancel()))
      return refuse([why])
    }
    for (const plan of parts.plans) {
      try {
        ready.push(await plan(config))
      } catch (error) {
        return giveUp(failedBind(error, config)?.sentence ?? (error as Error).message)
      }
    }
    if (parts.isStopping()) return giveUp('Otlier is shutting down')
    for (const plan of ready) plan.commit()
    parts.applied(config)
    applied.value++
    const restart = [...needRestart(parts.started, config), ...ready.flatMap(plan => plan.restart)]
    if (restart.length > 0)
      log.warn(
        { settings: restart },
        'these settings take effect at the next start; until then the old values hold',
      )
    log.info({}, 'the configuration has been read again and is in force')
    return true
  }

  function refuse(reasons: readonly string[]): false {
    refused.value++
    for (const reason of reasons) log.error({}, reason)
    log.error({}, 'the configuration was not taken over; the one before stays in force')
    return false
  }

  return settled => {
    const next = last.then(() => reload(settled))
    last = next
    return next
  }
}
