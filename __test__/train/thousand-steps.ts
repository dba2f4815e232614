/** A run of 1,300 steps that prints what it holds after 300 and at the end; started by memory.test.ts with `--expose-gc`. */
import { memory } from '../../src/tensor/index.js'
import type { Callback } from '../../src/train/callback.js'
import { Trainer } from '../../src/train/trainer.js'
import { flowers, smallSimclr } from './setup.js'

const spy: Callback = {
  name: 'spy',
  setup: (trainer) => void trainer.queue('embedding', 100),
  onTrainBatchEnd({ trainer }) {
    // The first steps are for the compiler and the pools.
    if (trainer.globalStep % 1000 !== 300) return
    globalThis.gc?.()
    const { liveBuffers: buffers, liveBytes: bytes } = memory()
    console.log(JSON.stringify({ step: trainer.globalStep, buffers, bytes, resident: process.memoryUsage().rss }))
  },
}
const trainer = new Trainer({ maxSteps: 1300, callbacks: [spy], checkValEveryNEpoch: 50, logEveryNSteps: 10 })
await trainer.fit(smallSimclr(), await flowers({ numWorkers: 1 }))
