/** F1, as torchmetrics has it. */
import { defineMetric, MulticlassF1Score, z } from 'stable-pretraining'

export default defineMetric({
  name: 'f1-score',
  aliases: ['f1', 'MulticlassF1Score'],
  targets: ['torchmetrics.classification.MulticlassF1Score'],
  description: 'Harmonic mean of precision and recall.',
  config: z.object({
    numClasses: z
      .int()
      .positive()
      .optional()
      .describe('number of classes; that of the data set or the width of the scores where absent'),
    topK: z.int().positive().default(1).describe('a class among so many highest scores is right'),
    average: z
      .enum(['micro', 'macro', 'weighted', 'none'])
      .default('macro')
      .describe('all rows alike, all classes alike, classes by their rows, or a number for each class'),
    beta: z.number().positive().default(1).describe('how many times as much recall counts as precision'),
    ignoreIndex: z.int().optional().describe('rows of this class number do not count'),
  }),
  build: ({ numClasses, config }) => new MulticlassF1Score({ ...config, numClasses: config.numClasses ?? numClasses }),
})
