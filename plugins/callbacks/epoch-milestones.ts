/** Ends a run that has not come far enough by given epochs: a cheap way to give up on bad settings in a search. */
import { defineCallback, SptError, z, type Callback, type Trainer } from 'stable-pretraining'

export interface EpochMilestonesOptions {
  /** What has to be reached by the end of an epoch, by the number of that epoch from 0. */
  milestones: Readonly<Record<number, number>>
  /** The metric that is watched … */
  monitor?: string | undefined
  /** … or part of the names of several, of which the best counts. */
  contains?: string | undefined
  /** `max`: the run ends below a milestone; `min`: above it. */
  direction?: 'max' | 'min'
  /** Whether a metric that nobody logged is an error; otherwise the milestone is passed over. */
  strict?: boolean
}

export class EpochMilestones implements Callback {
  readonly name = 'epoch_milestones'
  readonly #options: EpochMilestonesOptions

  constructor(options: EpochMilestonesOptions) {
    if ((options.monitor === undefined) === (options.contains === undefined)) {
      throw new SptError('ERR_ARGUMENT', 'epoch-milestones: give either monitor or contains', {
        hint: 'monitor: eval/knn_top1 watches one metric; contains: top1 takes the best of all that have it in their name.',
      })
    }
    this.#options = options
  }

  onTrainEpochEnd(trainer: Trainer): void {
    const { milestones, direction = 'max' } = this.#options
    const threshold = milestones[trainer.currentEpoch]
    if (threshold === undefined) return
    const value = this.#value(trainer, direction)
    if (value === undefined) return
    trainer.log('epoch_milestones/value', value)
    trainer.log('epoch_milestones/threshold', threshold)
    // A NaN has reached nothing.
    if (direction === 'max' ? value >= threshold : value <= threshold) return
    const what = this.#options.monitor ?? `the best "${this.#options.contains}"`
    trainer.print(
      `epoch-milestones: ${what} is ${value} after epoch ${trainer.currentEpoch}, not ${threshold}; the run ends`,
    )
    trainer.shouldStop = true
  }

  #value({ latest }: Trainer, direction: 'max' | 'min'): number | undefined {
    const { monitor, contains = '', strict = true } = this.#options
    const found = [...latest].filter(([name]) => (monitor === undefined ? name.includes(contains) : name === monitor))
    if (found.length > 0) return Math[direction](...found.map(([, value]) => value))
    if (!strict) return undefined
    throw new SptError('ERR_ARGUMENT', `epoch-milestones: nothing is logged under "${monitor ?? contains}"`, {
      hint: `Logged: ${[...latest.keys()].toSorted().join(', ')}.`,
    })
  }
}

export default defineCallback({
  name: 'epoch-milestones',
  aliases: ['EpochMilestones'],
  targets: ['stable_pretraining.callbacks.EpochMilestones'],
  description: 'Ends a run whose metric is too low (or too high) at the end of given epochs.',
  config: z.object({
    milestones: z
      .record(z.string().regex(/^\d+$/, 'the number of an epoch, from 0'), z.number())
      .describe('what has to be reached by the end of an epoch, such as {4: 0.3, 9: 0.45}; epochs count from 0'),
    monitor: z.string().optional().describe('metric that is watched, such as eval/knn_top1'),
    contains: z
      .string()
      .optional()
      .describe('instead of monitor: part of the names of metrics; the best of them counts'),
    direction: z.enum(['max', 'min']).default('max').describe('whether more or less is better'),
    strict: z.boolean().default(true).describe('whether a metric that nobody logs is an error'),
  }),
  build: ({ config }) => new EpochMilestones(config),
})
