/** Losses that a module composed in a configuration minimises, by the names of their classes. */
import {
  BarlowTwinsLoss,
  BYOLLoss,
  definePart,
  DINOv1Loss,
  DINOv2Loss,
  MoCoLoss,
  NegativeCosineSimilarity,
} from 'stable-pretraining'
import { nn, NNCLRLoss, NTXEntLoss, SwAVLoss, VICRegLoss, z, type Tensor } from 'stable-pretraining'

const weight = (value: number, of: string) => z.number().min(0).default(value).describe(`weight of ${of}`)
const temperature = (value: number) =>
  z.number().positive().default(value).describe('divides the similarities; smaller is sharper')
const targetsOf = (name: string) => [`stable_pretraining.losses.${name}`, `stable_pretraining.${name}`]

/** Of logits [batch, classes] and class numbers [batch], or shares [batch, classes]. */
class CrossEntropyLoss extends nn.Module {
  readonly labelSmoothing: number

  constructor({ labelSmoothing }: { labelSmoothing: number }) {
    super()
    this.labelSmoothing = labelSmoothing
  }

  forward(logits: Tensor, target: Tensor): Tensor {
    return logits.crossEntropy(target, { labelSmoothing: this.labelSmoothing })
  }
}

export default [
  definePart({
    name: 'NTXEntLoss',
    targets: targetsOf('NTXEntLoss'),
    positional: ['temperature'],
    description: 'NT-Xent, the loss of SimCLR.',
    paper: 'Chen et al. 2020, arXiv:2002.05709',
    config: z.object({ temperature: temperature(0.5) }),
    build: ({ config }) => new NTXEntLoss(config),
  }),
  definePart({
    name: 'BYOLLoss',
    targets: targetsOf('BYOLLoss'),
    description: 'The squared distance of unit vectors, the loss of BYOL.',
    paper: 'Grill et al. 2020, arXiv:2006.07733',
    config: z.object({}),
    build: () => new BYOLLoss(),
  }),
  definePart({
    name: 'NegativeCosineSimilarity',
    targets: targetsOf('NegativeCosineSimilarity'),
    description: 'The loss of SimSiam.',
    paper: 'Chen & He 2021, arXiv:2011.10566',
    config: z.object({}),
    build: () => new NegativeCosineSimilarity(),
  }),
  definePart({
    name: 'VICRegLoss',
    targets: targetsOf('VICRegLoss'),
    positional: ['sim_coeff', 'std_coeff', 'cov_coeff', 'epsilon'],
    description: 'Invariance, variance, covariance.',
    paper: 'Bardes et al. 2022, arXiv:2105.04906',
    config: z.object({
      simCoeff: weight(25, 'the squared distance between the views'),
      stdCoeff: weight(25, 'the deviation below 1'),
      covCoeff: weight(1, 'the covariance between components'),
      epsilon: z.number().positive().default(1e-4).describe('added to the variance under the root'),
    }),
    build: ({ config }) => new VICRegLoss(config),
  }),
  definePart({
    name: 'BarlowTwinsLoss',
    targets: targetsOf('BarlowTwinsLoss'),
    positional: ['lambd'],
    description: 'The distance of a cross-correlation to the identity.',
    paper: 'Zbontar et al. 2021, arXiv:2103.03230',
    config: z.object({ lambd: weight(5e-3, 'the components off the diagonal') }),
    build: ({ config }) => new BarlowTwinsLoss(config),
  }),
  definePart({
    name: 'SwAVLoss',
    targets: targetsOf('SwAVLoss'),
    positional: ['temperature', 'sinkhorn_iterations', 'epsilon'],
    description: 'Each view predicts the cluster of the other.',
    paper: 'Caron et al. 2020, arXiv:2006.09882',
    config: z.object({
      temperature: temperature(0.1),
      sinkhornIterations: z.int().min(1).default(3).describe('rounds in which the assignments are balanced'),
      epsilon: z.number().positive().default(0.05).describe('softness of the assignments'),
    }),
    build: ({ config }) => new SwAVLoss(config),
  }),
  definePart({
    name: 'NNCLRLoss',
    description: 'NT-Xent with nearest neighbours as positives; it owns their queue.',
    paper: 'Dwibedi et al. 2021, arXiv:2104.14548',
    config: z.object({
      queueLength: z.int().positive().default(16384).describe('embeddings among which neighbours are looked for'),
      temperature: temperature(0.1),
    }),
    build: ({ config }) => new NNCLRLoss(config),
  }),
  definePart({
    name: 'MoCoLoss',
    description: 'A query finds its key among a queue of older ones, which it owns.',
    paper: 'He et al. 2020, arXiv:1911.05722',
    config: z.object({
      queueLength: z.int().positive().default(65536).describe('keys that are kept as negatives'),
      temperature: temperature(0.2),
      ownKeyAsNegative: z.boolean().default(true).describe('whether the keys of a batch are negatives of it already'),
    }),
    build: ({ config }) => new MoCoLoss(config),
  }),
  definePart({
    name: 'DINOv1Loss',
    targets: targetsOf('DINOv1Loss'),
    positional: ['temperature_student', 'center_momentum'],
    description: 'Cross-entropy between views of centred teacher scores; it owns the centre.',
    paper: 'Caron et al. 2021, arXiv:2104.14294',
    config: z.object({
      temperatureStudent: temperature(0.1),
      centerMomentum: z.number().min(0).max(1).default(0.9).describe('share of the past in the centre'),
    }),
    build: ({ config }) => new DINOv1Loss(config),
  }),
  definePart({
    name: 'DINOv2Loss',
    targets: targetsOf('DINOv2Loss'),
    description: 'DINO’s loss on images plus iBOT’s on hidden patches.',
    paper: 'Oquab et al. 2024, arXiv:2304.07193',
    config: z.object({
      dinoLossWeight: weight(1, 'the images’ loss'),
      ibotLossWeight: weight(1, 'the patches’ loss'),
      temperatureStudent: temperature(0.1),
      centerMomentum: z.number().min(0).max(1).default(0.9).describe('share of the past in the centre'),
      studentTemp: temperature(0.1),
    }),
    build: ({ config }) => new DINOv2Loss(config),
  }),
  definePart({
    name: 'CrossEntropyLoss',
    targets: ['torch.nn.CrossEntropyLoss'],
    description: 'Cross-entropy of logits with class numbers or shares.',
    config: z.object({
      labelSmoothing: z.number().min(0).max(1).default(0).describe('share of the target spread over all classes'),
    }),
    build: ({ config }) => new CrossEntropyLoss(config),
  }),
]
