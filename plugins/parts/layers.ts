/** Layers that a module composed in a configuration is made of: projectors, predictors, heads, teachers. */
import { definePart, nn, references, reference, TeacherStudentWrapper, z } from 'stable-pretraining'

const width = (of: string) => z.int().positive().describe(of)
const dims = z
  .array(z.int().positive())
  .min(2)
  .describe('widths from the input to the output, such as [512, 2048, 128]')

export default [
  definePart({
    name: 'linear',
    targets: ['torch.nn.Linear'],
    positional: ['in_features', 'out_features', 'bias'],
    description: 'A linear layer.',
    config: z.object({
      inFeatures: width('width of its input'),
      outFeatures: width('width of its output'),
      bias: z.boolean().default(true).describe('whether it has a bias'),
    }),
    build: ({ config: { inFeatures, outFeatures, bias } }) => new nn.Linear(inFeatures, outFeatures, { bias }),
  }),
  definePart({
    name: 'batch-norm-1d',
    aliases: ['BatchNorm1d'],
    targets: ['torch.nn.BatchNorm1d'],
    positional: ['num_features'],
    description: 'A batch norm of vectors.',
    config: z.object({
      numFeatures: width('width of its input'),
      eps: z.number().positive().default(1e-5).describe('added to the variance'),
      momentum: z.number().min(0).max(1).default(0.1).describe('share of the new batch in the running statistics'),
      affine: z.boolean().default(true).describe('whether it has a scale and a bias'),
    }),
    build: ({ config: { numFeatures, ...options } }) => new nn.BatchNorm1d(numFeatures, options),
  }),
  definePart({
    name: 'relu',
    targets: ['torch.nn.ReLU'],
    positional: ['inplace'],
    description: 'max(x, 0).',
    config: z.object({ inplace: z.boolean().default(false).describe('accepted, without effect') }),
    build: () => new nn.ReLU(),
  }),
  definePart({
    name: 'gelu',
    targets: ['torch.nn.GELU'],
    description: 'x times the share of a normal distribution below x.',
    config: z.object({}),
    build: () => new nn.GELU(),
  }),
  definePart({
    name: 'identity',
    targets: ['torch.nn.Identity'],
    description: 'Its input as it is.',
    config: z.object({}),
    build: () => new nn.Identity(),
  }),
  definePart({
    name: 'sequential',
    targets: ['torch.nn.Sequential'],
    positional: ['...layers'],
    description: 'Layers one after the other.',
    config: z.object({ layers: references('part').describe('the layers in their order') }),
    async build({ backbone, config, build }) {
      const layers: nn.Layer[] = []
      for (const use of config.layers) layers.push((await build(use, { backbone })) as nn.Layer)
      return new nn.Sequential(...layers)
    },
  }),
  definePart({
    name: 'projector',
    description: 'A perceptron: linear, batch norm, ReLU for each hidden width, then a linear layer.',
    config: z.object({
      dims,
      norm: z.boolean().default(true).describe('a batch norm before each ReLU'),
      bias: z.boolean().default(true).describe('biases in the hidden layers'),
      lastBias: z.boolean().optional().describe('a bias in the last layer; by default as in the hidden ones'),
      lastNorm: z
        .enum(['affine', 'scale', 'plain'])
        .nullable()
        .default(null)
        .describe('a batch norm at the end: with scale and bias, with a scale, with neither'),
    }),
    build: ({ config: { dims: widths, lastBias, ...options } }) =>
      nn.projector(widths, { ...options, ...(lastBias !== undefined && { lastBias }) }),
  }),
  definePart({
    name: 'mlp',
    targets: ['torchvision.ops.MLP'],
    positional: ['in_channels', 'hidden_channels'],
    description: 'A perceptron with a ReLU after each hidden layer, as torchvision builds it.',
    config: z.object({
      inChannels: width('width of its input'),
      hiddenChannels: z.array(z.int().positive()).min(1).describe('width of each layer, the output last'),
      norm: z.enum(['batch_norm']).nullable().default(null).describe('a norm after each hidden layer'),
      bias: z.boolean().default(true).describe('whether the layers have a bias'),
      dropout: z.number().min(0).max(1).default(0).describe('probability that a value is set to 0'),
    }),
    build: ({ config: { inChannels, hiddenChannels, ...options } }) => nn.mlp([inChannels, ...hiddenChannels], options),
  }),
  definePart({
    name: 'dino-head',
    aliases: ['DINOHead'],
    description: 'A perceptron to a point on the sphere, then scores of prototypes.',
    paper: 'Caron et al. 2021, arXiv:2104.14294',
    config: z.object({
      inFeatures: width('width of its input'),
      hiddenDim: z.int().positive().default(2048).describe('width of the hidden layers'),
      bottleneckDim: z.int().positive().default(256).describe('width of the unit vectors before the prototypes'),
      prototypes: z.int().positive().default(65536).describe('outputs'),
      normLastLayer: z.boolean().default(false).describe('prototypes of length 1'),
    }),
    build: ({ config: { inFeatures, ...options } }) => new nn.DINOHead(inFeatures, options),
  }),
  definePart({
    name: 'mask-token-encoder',
    description: 'The run’s vision transformer with a token for hidden patches, as DINOv2 takes it.',
    config: z.object({}),
    build: ({ backbone }) =>
      new nn.MaskTokenEncoder(
        nn.requireVisionTransformer(backbone.module, 'mask-token-encoder', 'a token takes the place of patches'),
      ),
  }),
  definePart({
    name: 'teacher-student',
    aliases: ['TeacherStudentWrapper'],
    targets: ['stable_pretraining.TeacherStudentWrapper', 'stable_pretraining.backbone.TeacherStudentWrapper'],
    description: 'A network and its teacher, whose weights are a moving average of the network’s.',
    paper: 'Grill et al. 2020, arXiv:2006.07733',
    config: z.object({
      student: reference('part').optional().describe('the network; by default the backbone of the run'),
      warmInit: z.boolean().default(true).describe('accepted: a teacher begins as a copy of its student'),
      baseEmaCoefficient: z.number().min(0).max(1).default(0.996).describe('share of the teacher kept at first'),
      finalEmaCoefficient: z.number().min(0).max(1).default(1).describe('share of the teacher kept at last'),
    }),
    async build({ backbone, config: { student, ...options }, build }) {
      const network = student === undefined ? backbone.module : ((await build(student, { backbone })) as nn.Layer)
      return new TeacherStudentWrapper(network, options)
    },
  }),
]
