/** Mixes the images of a batch with each other, and their labels likewise; stands under batch_transform. */
import { RandomMixupCutmix, defineTransform, z } from 'stable-pretraining'

const probability = z.number().min(0).max(1)

export default defineTransform({
  name: 'random-mixup-cutmix',
  targets: ['stable_pretraining.data.gpu_transforms.RandomMixupCutmix'],
  description: 'Images of a batch blended or pasted into each other, with soft labels.',
  paper: 'Zhang et al. 2017, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899',
  config: z.object({
    numClasses: z.int().min(1).describe('number of classes'),
    mixupAlpha: z.number().min(0).default(0.8).describe('blends by shares from Beta(alpha, alpha); 0: never'),
    cutmixAlpha: z.number().min(0).default(1).describe('pastes boxes of shares from Beta(alpha, alpha); 0: never'),
    prob: probability.default(1).describe('how probable it is that a batch is changed'),
    switchProb: probability.default(0.5).describe('how probable pasting is where both are on'),
    labelSmoothing: probability.default(0.1).describe('share of a label spread over all classes'),
    target: z.string().min(1).default('soft_label').describe('key of the soft labels, float32 [batch, classes]'),
  }),
  build: ({ config }) => new RandomMixupCutmix(config),
})
