/** The crop of I-JEPA, which is all that it does to an image. */
import { defineTransform, viewOptions, viewSteps } from 'stable-pretraining'

export default defineTransform({
  name: 'ijepa',
  description: 'One view: a crop.',
  paper: 'Assran et al. 2023, arXiv:2301.08243, appendix A.1',
  config: viewOptions.cropAndFlip({ scale: [0.3, 1], flip: 0 }),
  build: ({ config }) => ({ steps: viewSteps('ijepa', config) }),
})
