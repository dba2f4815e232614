/** The augmentation of MoCo v2, which SimSiam shares: larger crops than SimCLR's, and a stronger jitter. */
import { defineTransform, twoViewOptions, twoViews } from 'stable-pretraining'

const paper = {
  scale: [0.2, 1],
  interpolation: 'bilinear',
  strength: [0.4, 0.4, 0.4, 0.1],
  jitter: 0.8,
  grayscale: 0.2,
  blur: [0.5, 0.5],
  solarize: [0, 0],
} as const

export default defineTransform({
  name: 'moco-v2',
  aliases: ['simsiam'],
  description: 'The two views of MoCo v2 and SimSiam: crop, flip, colour jitter, grey, blur.',
  paper: 'Chen et al. 2020, arXiv:2003.04297',
  config: twoViewOptions(paper),
  build: ({ config }) => twoViews('moco-v2', paper, config),
})
