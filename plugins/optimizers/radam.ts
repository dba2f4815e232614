/** RAdam: Adam with a rectified step while the second moment is uncertain (Liu et al. 2020, arXiv:1908.03265). */
import { defineOptimizer, RAdam, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'radam',
  targets: ['torch.optim.RAdam', 'torch.optim.radam.RAdam'],
  description: 'Adam that is careful while it knows little of the second moment.',
  config: z.object({
    lr: z.number().min(0).default(1e-3).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.999])
      .describe('decay rates of the averages of the gradient and of its square'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    decoupledWeightDecay: z.boolean().default(false).describe('weight decay as in AdamW, apart from the gradient'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new RAdam(params, config),
})
