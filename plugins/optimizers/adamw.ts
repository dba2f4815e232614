/** Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101). */
import { AdamW, defineOptimizer, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'adamw',
  targets: ['torch.optim.AdamW', 'torch.optim.adamw.AdamW'],
  description: 'Adam with decoupled weight decay.',
  config: z.object({
    lr: z.number().min(0).default(1e-3).describe('learning rate'),
    betas: z
      .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
      .default([0.9, 0.999])
      .describe('decay rates of the averages of the gradient and of its square'),
    eps: z.number().min(0).default(1e-8).describe('added to the denominator'),
    weightDecay: z.number().min(0).default(0.01).describe('share of a weight that a step of size 1 takes away'),
    amsgrad: z.boolean().default(false).describe('keeps the largest average of the square (Reddi et al. 2018)'),
    maximize: z.boolean().default(false).describe('climbs instead of descending'),
  }),
  build: ({ params, config }) => new AdamW(params, config),
})
