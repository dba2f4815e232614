/** NAdam: Adam with Nesterov momentum (Dozat 2016). */
import { defineOptimizer, NAdam, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'nadam',
  targets: ['torch.optim.NAdam', 'torch.optim.nadam.NAdam'],
  description: 'Adam with Nesterov momentum.',
  config: z.object({
    lr: z.number().min(0).default(2e-3).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.999])
      .describe('decay rates of the averages of the gradient and of its square'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    momentumDecay: z.number().min(0).default(4e-3).describe('how fast the momentum reaches its final value'),
    decoupledWeightDecay: z.boolean().default(false).describe('weight decay as in AdamW, apart from the gradient'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new NAdam(params, config),
})
