/** The augmentation of W-MSE: crops of a fifth of the image or more, seldom grey, without a blur. */
import { defineTransform, twoViewOptions, twoViews } from 'stable-pretraining'

const paper = {
  scale: [0.2, 1],
  interpolation: 'bilinear',
  strength: [0.4, 0.4, 0.4, 0.1],
  jitter: 0.8,
  grayscale: 0.1,
  blur: [0, 0],
  solarize: [0, 0],
} as const

export default defineTransform({
  name: 'w-mse',
  description: 'The two views of W-MSE: crop, flip, colour jitter, grey.',
  paper: 'Ermolov et al. 2021, arXiv:2007.06346, section 4',
  config: twoViewOptions(paper),
  build: ({ config }) => twoViews('w-mse', paper, config),
})
