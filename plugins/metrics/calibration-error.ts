/** Calibration error, as torchmetrics has it. */
import { defineMetric, MulticlassCalibrationError, z } from 'stable-pretraining'

export default defineMetric({
  name: 'calibration-error',
  aliases: ['MulticlassCalibrationError'],
  targets: ['torchmetrics.classification.MulticlassCalibrationError'],
  description: 'Distance between confidence and the share that is right, by bins of confidence.',
  paper: 'Guo et al. 2017, arXiv:1706.04599',
  config: z.object({
    numClasses: z
      .int()
      .positive()
      .optional()
      .describe('number of classes; that of the data set or the width of the scores where absent'),
    nBins: z.int().positive().default(15).describe('bins of equal width'),
    norm: z.enum(['l1', 'l2', 'max']).default('l1').describe('mean, root mean square, or largest distance of a bin'),
    ignoreIndex: z.int().optional().describe('rows of this class number do not count'),
  }),
  build: ({ numClasses, config }) =>
    new MulticlassCalibrationError({ ...config, numClasses: config.numClasses ?? numClasses }),
})
