import { expect, test } from 'vitest'
import { ConsoleLogger } from '../../../plugins/loggers/console.js'

/** A stream that is no terminal and remembers what was written. */
function paper(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = ''
  const stream = { isTTY: false, write: (part: string) => ((text += part), true) } as unknown as NodeJS.WriteStream
  return { stream, text: () => text }
}

const progress = {
  stage: 'fit',
  epoch: 1,
  maxEpochs: 3,
  batch: 50,
  batches: 78,
  step: 128,
  totalSteps: 234,
  images: 64,
  latest: new Map([['fit/loss_step', 4.71234]]),
} as const

test('without a terminal it writes a plain line every so many batches, and at the end of an epoch', () => {
  const { stream, text } = paper()
  const logger = new ConsoleLogger({ everyNBatches: 50, stream })
  logger.progress({ ...progress, batch: 49, step: 127 })
  expect(text()).toBe('')
  logger.progress(progress)
  expect(text()).toMatch(/^epoch 2\/3 {2}step 128\/234 {2}loss 4\.7123 {2}\d+ images\/s {2}ETA \d+:\d\d\n$/)
  logger.progress({ ...progress, batch: 78, step: 156 })
  expect(text().split('\n')).toHaveLength(3)
})

test('epoch means and validation metrics are printed, step values are not', () => {
  const { stream, text } = paper()
  const logger = new ConsoleLogger({ stream })
  logger.logMetrics({ 'fit/loss_step': 4 }, { step: 10, epoch: 0 })
  expect(text()).toBe('')
  logger.logMetrics({ 'eval/knn_top1': 0.4321, 'fit/loss_epoch': 4.5 }, { step: 78, epoch: 0 })
  expect(text()).toBe('epoch 1 step 78: eval/knn_top1 43.2 %, fit/loss_epoch 4.500\n')
})
