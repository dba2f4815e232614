/**
 * A callback that lets the bench drive a run: it says when the run is warm, then times as many steps as each line of the
 * standard input asks for, from the end of one to the end of the next. At the end of the input the run is interrupted.
 */
import { createInterface } from 'node:readline'
import { defineCallback, z } from 'stable-pretraining'

/** Steps that use up what the loader made while the run stood still. */
const settling = 3

export default defineCallback({
  name: 'bench-turns',
  description: 'Times steps on request.',
  config: z.object({}),
  build() {
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    let [done, wanted, last, firstStep] = [0, 0, 0, 0]
    let warm = false
    let seconds = []
    let cpu = process.cpuUsage()
    const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)
    return {
      name: 'bench-turns',
      async onTrainBatchEnd({ trainer }) {
        const now = performance.now()
        const step = (now - last) / 1000
        last = now
        done++
        // The clock began with the process.
        if (firstStep === 0) firstStep = now / 1000
        if (done <= settling) {
          if (done === settling) cpu = process.cpuUsage()
          return
        }
        if (warm) {
          seconds.push(step)
          if (seconds.length < wanted) return
          const { user, system } = process.cpuUsage(cpu)
          say({ seconds, cpu_seconds: (user + system) / 1e6 })
        } else say({ ready: true, peer: 'ours', warm_seconds: step, first_step_seconds: firstStep })
        warm = true
        seconds = []
        const next = await lines.next()
        if (next.done) {
          say({ peak_mb: (process.resourceUsage().maxRSS * 1024) / 1e6 })
          trainer.interrupt()
          return
        }
        wanted = Number(next.value)
        done = 0
        last = performance.now()
      },
    }
  },
})
