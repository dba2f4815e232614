/** The augmentation of BYOL, which Barlow Twins, VICReg, MoCo v3 and TiCo share: the second view is blurred less and solarised. */
import { defineTransform, twoViewOptions, twoViews } from 'stable-pretraining'

const paper = {
  scale: [0.08, 1],
  interpolation: 'bicubic',
  strength: [0.4, 0.4, 0.2, 0.1],
  jitter: 0.8,
  grayscale: 0.2,
  blur: [1, 0.1],
  solarize: [0, 0.2],
} as const

export default defineTransform({
  name: 'byol',
  aliases: ['barlow-twins', 'vicreg', 'vicregl', 'moco-v3', 'tico'],
  description:
    'The two views of BYOL, Barlow Twins, VICReg, MoCo v3 and TiCo: one blurred, one seldom, and solarised at times.',
  paper: 'Grill et al. 2020, arXiv:2006.07733, appendix B',
  config: twoViewOptions(paper),
  build: ({ config }) => twoViews('byol', paper, config),
})
