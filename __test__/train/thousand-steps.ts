/**
 * A run of 1,300 steps that prints what it holds after 300 and at the end; started by memory.test.ts with `--expose-gc`,
 * and the name of a GPU where it is to run there.
 */
import { type DeviceName, gpuStatistics, memory } from '../../src/tensor/index.js'
import type { Callback } from '../../src/train/callback.js'
import { Trainer } from '../../src/train/trainer.js'
import { flowers, smallSimclr } from './setup.js'

const gpu = process.argv[2] as DeviceName | undefined
const spy: Callback = {
  name: 'spy',
  setup: (trainer) => void trainer.queue('embedding', 100),
  onTrainBatchEnd({ trainer }) {
    // The first steps are for the compiler and the pools.
    if (trainer.globalStep % 1000 !== 300) return
    globalThis.gc?.()
    const { liveBuffers: buffers, liveBytes: bytes } = gpu === undefined ? memory() : gpuStatistics(gpu)
    console.log(JSON.stringify({ step: trainer.globalStep, buffers, bytes, resident: process.memoryUsage().rss }))
  },
}
const options = { maxSteps: 1300, callbacks: [spy], checkValEveryNEpoch: 50, logEveryNSteps: 10 }
const trainer = new Trainer({ ...options, ...(gpu && { device: gpu }) })
await trainer.fit(smallSimclr(), await flowers({ numWorkers: 1 }))
