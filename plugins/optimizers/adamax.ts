/** Adamax: Adam with the largest instead of the mean square (Kingma & Ba 2015, arXiv:1412.6980, §7.1). */
import { Adamax, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'adamax',
  targets: ['torch.optim.Adamax', 'torch.optim.adamax.Adamax'],
  description: 'Adam with the largest instead of the mean square of the gradient.',
  config: z.object({
    lr: z.number().min(0).default(2e-3).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.999])
      .describe('decay rates of the average of the gradient and of its largest value'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Adamax(params, config),
})
