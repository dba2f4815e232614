/** How fast training goes and what it waits for: images a second, seconds a step, the loader's share, memory. */
import { defineCallback, memory, z, type BatchEvent, type Callback } from 'stable-pretraining'

export interface ThroughputMonitorOptions {
  /** Steps over which each value is a mean. */
  windowSize?: number
}

export class ThroughputMonitor implements Callback {
  readonly name = 'throughput_monitor'
  readonly #window: number
  #images = 0
  #steps = 0
  #waited = 0
  #began: number | undefined
  #ended: number | undefined

  constructor({ windowSize = 20 }: ThroughputMonitorOptions = {}) {
    this.#window = windowSize
  }

  onTrainEpochStart(): void {
    this.#forget()
    this.#ended = undefined
  }

  onTrainBatchStart(): void {
    const now = performance.now()
    // What lies between the end of a step and the start of the next: waiting for the batch.
    if (this.#ended !== undefined) this.#waited += now - this.#ended
    this.#began ??= this.#ended ?? now
  }

  onTrainBatchEnd({ trainer, batch }: BatchEvent): void {
    this.#images += batch.index.shape[0] ?? 0
    this.#steps++
    this.#ended = performance.now()
    if (this.#steps < this.#window) return
    const seconds = (this.#ended - (this.#began ?? this.#ended)) / 1000
    const how = { onStep: true, onEpoch: true }
    trainer.log('throughput/images_per_second', this.#images / seconds, how)
    trainer.log('throughput/step_seconds', seconds / this.#steps, how)
    trainer.log('throughput/data_wait', this.#waited / 1000 / seconds, how)
    trainer.log('throughput/peak_tensor_mb', memory().peakBytes / 2 ** 20, how)
    trainer.log('throughput/process_mb', process.memoryUsage.rss() / 2 ** 20, how)
    this.#forget()
  }

  #forget(): void {
    this.#images = this.#steps = this.#waited = 0
    this.#began = undefined
  }
}

export default defineCallback({
  name: 'throughput-monitor',
  aliases: ['ThroughputMonitor'],
  targets: ['lightning.pytorch.callbacks.ThroughputMonitor'],
  description: 'Images a second, seconds a step, share of the time that waits for data, memory.',
  config: z.object({
    windowSize: z.int().positive().default(20).describe('steps over which each value is a mean'),
  }),
  build: ({ config }) => new ThroughputMonitor(config),
})
