/** Average precision, as torchmetrics has it without binning. */
import { defineMetric, MulticlassAveragePrecision, z } from 'stable-pretraining'

export default defineMetric({
  name: 'average-precision',
  aliases: ['MulticlassAveragePrecision'],
  targets: ['torchmetrics.classification.MulticlassAveragePrecision'],
  description: 'Mean precision over the steps of recall, each class against the rest.',
  config: z.object({
    numClasses: z
      .int()
      .positive()
      .optional()
      .describe('number of classes; that of the data set or the width of the scores where absent'),
    average: z
      .enum(['macro', 'weighted', 'none'])
      .default('macro')
      .describe('all classes alike, classes by their rows, or a number for each class'),
    ignoreIndex: z.int().optional().describe('rows of this class number do not count'),
  }),
  build: ({ numClasses, config }) =>
    new MulticlassAveragePrecision({ ...config, numClasses: config.numClasses ?? numClasses }),
})
