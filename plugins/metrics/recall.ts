/** Recall, as torchmetrics has it. */
import { defineMetric, MulticlassRecall, z } from 'stable-pretraining'

export default defineMetric({
  name: 'recall',
  aliases: ['MulticlassRecall'],
  targets: ['torchmetrics.classification.MulticlassRecall'],
  description: 'Share of the rows of a class that are predicted to be of it.',
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
    ignoreIndex: z.int().optional().describe('rows of this class number do not count'),
  }),
  build: ({ numClasses, config }) => new MulticlassRecall({ ...config, numClasses: config.numClasses ?? numClasses }),
})
