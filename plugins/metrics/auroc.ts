/** Area under the receiver operating characteristic, as torchmetrics has it without binning. */
import { defineMetric, MulticlassAUROC, z } from 'stable-pretraining'

export default defineMetric({
  name: 'auroc',
  aliases: ['MulticlassAUROC'],
  targets: ['torchmetrics.classification.MulticlassAUROC'],
  description: 'How often a row of a class has a higher score for it than a row of another class.',
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
  build: ({ numClasses, config }) => new MulticlassAUROC({ ...config, numClasses: config.numClasses ?? numClasses }),
})
