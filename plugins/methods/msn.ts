/**
 * MSN: an image of which patches are missing is assigned to the prototypes of another view that is whole (Assran et al.
 * 2022, arXiv:2204.07141). As in the paper hidden patches are left out and small crops are further anchors; the PyTorch
 * library puts a token in their place and has none. As there, the head is DINO's and 0.6 of the patches are hidden (the
 * paper: 0.15 for ViT-S, 0.3 for ViT-B).
 */
import { cat, cropsOf, defineMethod, expectCrops, forwardCrops, generatorOfBatch, labelsOf } from 'stable-pretraining'
import {
  emaOf,
  emaOptions,
  headOptions,
  headPair,
  msnLoss,
  nn,
  SptError,
  TeacherStudentWrapper,
  updateTeachers,
  z,
} from 'stable-pretraining'

export default defineMethod({
  name: 'msn',
  targets: ['stable_pretraining.methods.MSN', 'stable_pretraining.MSN'],
  description: 'A masked view is assigned to the prototypes of a whole one. Vision transformers only.',
  paper: 'Assran et al. 2022, arXiv:2204.07141',
  family: 'self-distillation',
  needs: { views: 2, backbone: 'vision transformer' },
  recipe: 'dino',
  evidence: 'probe',
  config: z.object({
    ...headOptions(),
    nPrototypes: z.int().positive().default(1024).describe('clusters that images are assigned to'),
    maskRatio: z.number().min(0).lt(1).default(0.6).describe('share of the patches that the first view lacks'),
    temperatureStudent: z.number().positive().default(0.1).describe('of the student’s softmax'),
    temperatureTeacher: z
      .number()
      .positive()
      .default(0.025)
      .describe('of the teacher’s assignments; smaller is sharper'),
    meMaxWeight: z.number().min(0).default(1).describe('weight of using all prototypes equally'),
    ...emaOptions(0.996, 1),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'msn', 'patches of an image are left out')
    nn.takeAnyImageSize(vit)
    const network = new TeacherStudentWrapper(new nn.MaskedEncoder(vit), emaOf(config))
    const projector = headPair(vit.dim, config.nPrototypes, config)
    return {
      modules: { backbone: network, projector },
      forward(batch, stage, progress) {
        const { globals, locals } = cropsOf(batch)
        const [anchor, target = anchor] = globals
        if (!anchor || !target) throw new SptError('ERR_DATA', 'msn needs an image in each batch')
        const { embedding } = network.forwardTeacher(target.image) // [batch, dim]
        const known = { embedding, ...labelsOf([target]) }
        if (stage !== 'fit') return known
        expectCrops('msn', { globals, locals: [] }, 'dino')
        const [count = 0, , height = 0, width = 0] = anchor.image.shape
        const generator = generatorOfBatch(seed, progress.batch)
        const draw = nn.patchMasking({ maskRatio: config.maskRatio, generator })
        const idsKeep = draw(count, vit.patchEmbed.grid(height, width))
        const anchors = [
          network.forwardStudent(anchor.image, { idsKeep }).embedding,
          ...forwardCrops(locals, (crop) => network.forwardStudent(crop).embedding),
        ]
        const scores = projector.forwardStudent(cat(anchors)) // [anchors * batch, prototypes]
        const targets = projector.forwardTeacher(embedding) // [batch, prototypes]
        const { loss, crossEntropy, meMax } = msnLoss(scores, cat(anchors.map(() => targets)), config)
        return { loss, cross_entropy: crossEntropy, me_max: meMax, ...known }
      },
      afterStep: (step, progress) => updateTeachers([network, projector], step, progress, config.emaInterval),
    }
  },
})
