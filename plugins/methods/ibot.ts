/**
 * iBOT: DINO on whole images, and the same for hidden patches (Zhou et al. 2022, arXiv:2111.07832). As in the PyTorch
 * library, and not as in the paper: class token and patches have heads of their own, the patches' targets are balanced by
 * Sinkhorn instead of centred, and every global crop has as many patches hidden at random.
 */
import { cat, cropsOf, defineMethod, DINOv1Loss, expectCrops, forwardCrops, generatorOfBatch } from 'stable-pretraining'
import {
  emaOf,
  emaOptions,
  headOptions,
  headPair,
  IBOTPatchLoss,
  labelsOf,
  nn,
  prototypeOptions,
} from 'stable-pretraining'
import { stack, teacherTemperatureAt, TeacherStudentWrapper, updateTeachers, z, type Tensor } from 'stable-pretraining'

export default defineMethod({
  name: 'ibot',
  targets: ['stable_pretraining.methods.iBOT', 'stable_pretraining.iBOT'],
  description:
    'Self-distillation of images and of hidden patches by a teacher that sees all. Vision transformers only.',
  paper: 'Zhou et al. 2022, arXiv:2111.07832',
  family: 'self-distillation',
  needs: { views: 'multi-crop', backbone: 'vision transformer' },
  recipe: 'dino',
  evidence: 'probe',
  config: z.object({
    ...headOptions(),
    nPrototypes: z.int().positive().default(65536).describe('outputs of the head of images; small data needs fewer'),
    nPatchPrototypes: z.int().positive().default(8192).describe('outputs of the head of patches'),
    maskRatio: z.number().gt(0).lt(1).default(0.3).describe('share of the patches of global crops that are hidden'),
    patchLossWeight: z.number().min(0).default(1).describe('weight of the patches’ loss'),
    temperatureStudent: z.number().positive().default(0.1).describe('of the student’s softmax'),
    temperatureTeacherWarmup: z.number().positive().default(0.04).describe('of the teacher’s softmax at the start'),
    temperatureTeacher: z.number().positive().default(0.07).describe('of the teacher’s softmax after its warm-up'),
    warmupEpochsTemperatureTeacher: z.int().min(0).default(30).describe('epochs in which that temperature rises'),
    centerMomentum: z
      .number()
      .min(0)
      .max(1)
      .default(0.9)
      .describe('share of the past in the centre of the images’ scores'),
    ...emaOptions(0.996, 1),
    ...prototypeOptions(),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'ibot', 'a mask token takes the place of patches')
    nn.takeAnyImageSize(vit)
    const network = new TeacherStudentWrapper(new nn.MaskTokenEncoder(vit), emaOf(config))
    const projector = headPair(vit.dim, config.nPrototypes, config)
    const patchProjector = headPair(vit.dim, config.nPatchPrototypes, config)
    const dinoLoss = new DINOv1Loss(config)
    const patchLoss = new IBOTPatchLoss({ studentTemp: config.temperatureStudent })
    return {
      modules: { backbone: network, projector, patchProjector, dinoLoss },
      forward(batch, stage, { epoch, batch: place }) {
        const crops = cropsOf(batch)
        const { globals, locals } = crops
        const images = cat(globals.map(({ image }) => image)) // [globals * batch, channel, height, width]
        const seen = network.forwardTeacher(images)
        const known = { embedding: seen.embedding, ...labelsOf(globals) } // [globals * batch, dim]
        if (stage !== 'fit') return known
        expectCrops('ibot', crops, 'dino')
        const [count = 0, , height = 0, width = 0] = images.shape
        const generator = generatorOfBatch(seed, place)
        const { maskRatio } = config
        const { mask, hidden } = nn.randomMask(count, vit.patchEmbed.grid(height, width), { maskRatio, generator })
        const masked = network.forwardStudent(images, { mask })
        const temperature = teacherTemperatureAt(epoch, {
          warmup: config.temperatureTeacherWarmup,
          final: config.temperatureTeacher,
          warmupEpochs: config.warmupEpochsTemperatureTeacher,
        })
        const call = { freezeLast: epoch < config.freezeLastLayer }
        const ofLocals = forwardCrops(locals, (crop) => network.forwardStudent(crop).embedding)
        const scores = [...masked.embedding.chunk(globals.length), ...ofLocals].map((view) =>
          projector.forwardStudent(view, call),
        )
        const teacher = stack(projector.forwardTeacher(seen.embedding).chunk(globals.length)) // [globals, batch, prototypes]
        const assigned = dinoLoss.softmaxCenterTeacher(teacher, temperature)
        const cls = dinoLoss.forward(stack(scores), assigned)
        dinoLoss.updateCenter(teacher)
        const rows = (patches: Tensor): Tensor => nn.takeTokens(patches, hidden).reshape([-1, vit.dim])
        const goals = patchLoss.sinkhornKnoppTeacher(patchProjector.forwardTeacher(rows(seen.patches)), temperature)
        const patch = patchLoss.forward(patchProjector.forwardStudent(rows(masked.patches), call), goals)
        const projection = assigned.flatten(0, 1) // [globals * batch, prototypes]
        return {
          loss: cls.add(patch.mul(config.patchLossWeight)),
          cls_loss: cls,
          patch_loss: patch,
          projection,
          ...known,
        }
      },
      afterStep: (step, progress) =>
        updateTeachers([network, projector, patchProjector], step, progress, config.emaInterval),
    }
  },
})
