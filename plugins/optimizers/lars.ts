/** LARS: a step of each tensor in proportion to its norm (You et al. 2017, arXiv:1708.03888). */
import { defineOptimizer, LARS, z } from 'stable-pretraining'

export default defineOptimizer({
  name: 'lars',
  targets: ['stable_pretraining.optim.LARS', 'stable_pretraining.optim.lars.LARS'],
  description: 'Gradient descent with a step of each tensor in proportion to its norm; for large batches.',
  config: z.object({
    lr: z.number().min(0).default(1e-3).describe('learning rate'),
    momentum: z.number().min(0).default(0).describe('share of the last step that is kept'),
    dampening: z.number().default(0).describe('share of the gradient that momentum leaves out'),
    weightDecay: z.number().min(0).default(0).describe('added to the gradient, times the weight'),
    nesterov: z.boolean().default(false).describe('looks ahead along the momentum'),
    eta: z.number().min(0).default(1e-3).describe('trust coefficient'),
    eps: z.number().min(0).default(1e-8).describe('added to the norm of the gradient'),
    clipLr: z.boolean().default(false).describe("no step is larger than plain gradient descent's (LARC)"),
    excludeBiasNNorm: z
      .boolean()
      .default(false)
      .describe('tensors with one axis take plain steps, without weight decay'),
  }),
  build: ({ params, config }) => new LARS(params, config),
})
