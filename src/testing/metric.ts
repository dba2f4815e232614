/** What metrics have to keep: batches add up, reset forgets them, a checkpoint holds them. */
import type { Metric } from '../metrics/index.js'
import { manualSeed, memory, randint, randn, scope, type Tensor } from '../tensor/index.js'
import type { Builder, ConformanceOptions } from './index.js'
import { require, rule, type Rule } from './rule.js'

const rows = 24

export function metricRules(build: Builder, { classes = 4 }: ConformanceOptions): Rule[] {
  const make = async (): Promise<Metric> => (await build({ numClasses: classes })) as Metric
  /** Scores [rows, classes] as of a network, and class numbers [rows]. */
  const use = (check: (scores: Tensor, target: Tensor) => Promise<void>) => () =>
    scope(async () => {
      manualSeed(0)
      await check(randn([rows, classes]), randint(0, classes, [rows]))
    })
  const updated = (metric: Metric, scores: Tensor, target: Tensor, start: number, count: number): Metric => {
    metric.update(scores.narrow(0, start, count), target.narrow(0, start, count))
    return metric
  }

  return [
    rule(
      'it has a number, or a number for each class',
      use(async (scores, target) => {
        const metric = await make()
        require(metric.empty, () => 'it is not empty before its first batch')
        metric.update(scores, target)
        const value = await metric.compute()
        const numbers = value instanceof Float64Array ? [...value] : [value]
        require(numbers.every(Number.isFinite), () => `its value is ${numbers.join(', ')}`)
      }),
    ),
    rule(
      'batches add up to all rows at once, over a checkpoint too',
      use(async (scores, target) => {
        const whole = await values(updated(await make(), scores, target, 0, rows))
        const first = updated(await make(), scores, target, 0, 7)
        const resumed = await make()
        resumed.loadState(first.state())
        updated(resumed, scores, target, 7, 1)
        const parts = await values(updated(resumed, scores, target, 8, rows - 8))
        const far = parts.findIndex((part, index) => !(Math.abs(part - (whole[index] ?? NaN)) <= 1e-6))
        require(far < 0, () => `all rows give ${whole.join(', ')}, batches ${parts.join(', ')}`)
      }),
    ),
    rule(
      'reset forgets, and frees what was kept',
      use(async (scores, target) => {
        const metric = await make()
        const expected = await values(updated(metric, scores, target, 0, 9))
        metric.reset()
        const before = memory().liveBuffers
        updated(metric, scores, target, 9, 9)
        metric.reset()
        require(memory().liveBuffers <= before, () => `${memory().liveBuffers - before} buffers stay after reset()`)
        const again = await values(updated(metric, scores, target, 0, 9))
        require(again.join() === expected.join(), () =>
          `after reset() ${again.join(', ')}, at first ${expected.join(', ')}`)
      }),
    ),
  ]
}

async function values(metric: Metric): Promise<number[]> {
  const value = await metric.compute()
  return value instanceof Float64Array ? [...value] : [Number(value)]
}
