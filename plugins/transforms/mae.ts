/** Crop and flip, which is all that masked autoencoders need; SimMIM and data2vec begin with it too. */
import { defineTransform, viewOptions, viewSteps } from 'stable-pretraining'

export default defineTransform({
  name: 'mae',
  description: 'One view: crop and flip.',
  paper: 'He et al. 2022, arXiv:2111.06377, appendix A.1',
  config: viewOptions.cropAndFlip({ scale: [0.2, 1], flip: 0.5 }),
  build: ({ config }) => ({ steps: viewSteps('mae', config) }),
})
