/** Adam: steps by the averages of the gradient and of its square (Kingma & Ba 2015, arXiv:1412.6980). */
import { Adam, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'adam',
  targets: ['torch.optim.Adam', 'torch.optim.adam.Adam'],
  description: 'Adam: steps by running averages of the gradient and of its square.',
  config: z.object({
    lr: z.number().min(0).default(1e-3).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.999])
      .describe('decay rates of the averages of the gradient and of its square'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    amsgrad: z.boolean().default(false).describe('keeps the largest average of the square (Reddi et al. 2018)'),
    decoupledWeightDecay: z.boolean().default(false).describe('weight decay as in AdamW, apart from the gradient'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new Adam(params, config),
})
