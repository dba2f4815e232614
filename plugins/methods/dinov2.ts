/**
 * DINOv2: iBOT with balanced targets for images as well, and embeddings that keep their distance (Oquab et al. 2024,
 * arXiv:2304.07193). As in the PyTorch library, and not as in the paper: a fixed temperature of the teacher, and every
 * global crop has as many patches hidden at random. As in the paper, and not as there: KoLeo.
 */
import { cat, cropsOf, defineMethod, DINOv2Loss, expectCrops, forwardCrops, generatorOfBatch } from 'stable-pretraining'
import { emaOf, emaOptions, headOptions, headPair, koLeoLoss, labelsOf, nn, prototypeOptions } from 'stable-pretraining'
import { stack, TeacherStudentWrapper, updateTeachers, z } from 'stable-pretraining'
import type { Batch, BatchProgress, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface Dinov2Parts {
  /** Of an nn.MaskTokenEncoder. */
  readonly backbone: TeacherStudentWrapper<nn.TokenEncoding>
  /** Of nn.DINOHead: images to prototypes, and patches to prototypes. */
  readonly projector: TeacherStudentWrapper
  readonly patchProjector: TeacherStudentWrapper
  readonly dinov2Loss: DINOv2Loss
  /** By default 0.3, 0.07, and 0. */
  readonly maskRatio?: number
  readonly temperatureTeacher?: number
  readonly koleoWeight?: number
  /** Epochs in which the prototypes stay as they are. */
  readonly freezeLastLayer?: number
  /** Of the masks. */
  readonly seed?: number
}

/** The forward of DINOv2 without state, for a `Module` with these attributes; `embedding` is the teacher's. */
export function dinov2(this: Dinov2Parts, batch: Batch, stage: Stage, progress: BatchProgress): Outputs {
  const { backbone, projector, patchProjector, dinov2Loss, temperatureTeacher: temperature = 0.07 } = this
  const crops = cropsOf(batch)
  const { globals, locals } = crops
  const images = cat(globals.map(({ image }) => image)) // [globals * batch, channel, height, width]
  const seen = backbone.forwardTeacher(images)
  const outputs = { embedding: seen.embedding, ...labelsOf(globals) } // [globals * batch, dim]
  if (stage !== 'fit') return outputs
  expectCrops('dinov2', crops, 'dino')
  const [count = 0, patches = 0, dim = 0] = seen.patches.shape
  const generator = generatorOfBatch(this.seed ?? 0, progress.batch)
  const { mask, hidden } = nn.randomMask(count, [1, patches], { maskRatio: this.maskRatio ?? 0.3, generator })
  const masked = backbone.forwardStudent(images, { mask })
  const call = { freezeLast: progress.epoch < (this.freezeLastLayer ?? 0) }
  const views = masked.embedding.chunk(globals.length) // [batch, dim] each
  const small = forwardCrops(locals, (crop) => backbone.forwardStudent(crop).embedding)
  const scores = [...views, ...small].map((view) => projector.forwardStudent(view, call)) // [batch, prototypes] each
  const teacher = stack(projector.forwardTeacher(seen.embedding).chunk(globals.length)) // [globals, batch, prototypes]
  const rows = (tokens: Tensor): Tensor => nn.takeTokens(tokens, hidden).reshape([-1, dim]) // [all hidden, dim]
  const loss = dinov2Loss.forward(
    stack(scores),
    dinov2Loss.dino.sinkhornKnoppTeacher(teacher, temperature),
    patchProjector.forwardStudent(rows(masked.patches), call),
    dinov2Loss.ibot.sinkhornKnoppTeacher(patchProjector.forwardTeacher(rows(seen.patches)), temperature),
  )
  const { koleoWeight = 0 } = this
  if (koleoWeight === 0) return { loss, ...outputs }
  const koleo = views.map((view) => koLeoLoss(view)).reduce((sum, one) => sum.add(one))
  return { loss: loss.add(koleo.mul(koleoWeight)), koleo, ...outputs }
}

export default defineMethod({
  name: 'dinov2',
  targets: [
    'stable_pretraining.methods.DINOv2',
    'stable_pretraining.DINOv2',
    'stable_pretraining.forward.dinov2',
    'stable_pretraining.forward.dinov2_forward',
  ],
  description: 'Self-distillation of images and hidden patches, embeddings spread evenly. Vision transformers only.',
  paper: 'Oquab et al. 2024, arXiv:2304.07193',
  family: 'self-distillation',
  needs: { views: 'multi-crop', backbone: 'vision transformer' },
  forward: dinov2,
  recipe: 'dino',
  config: z.object({
    ...headOptions(),
    nPrototypes: z.int().positive().default(65536).describe('outputs of the head of images; small data needs fewer'),
    nPatchPrototypes: z.int().positive().default(8192).describe('outputs of the head of patches'),
    maskRatio: z.number().gt(0).lt(1).default(0.3).describe('share of the patches of global crops that are hidden'),
    dinoLossWeight: z.number().min(0).default(1).describe('weight of the images’ loss'),
    ibotLossWeight: z.number().min(0).default(1).describe('weight of the patches’ loss'),
    koleoWeight: z.number().min(0).default(0.1).describe('weight of keeping embeddings apart; 0: not'),
    temperatureStudent: z.number().positive().default(0.1).describe('of the student’s softmax'),
    temperatureTeacher: z.number().positive().default(0.07).describe('of the teacher’s assignments'),
    ...emaOptions(0.996, 1),
    ...prototypeOptions(),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'dinov2', 'a mask token takes the place of patches')
    nn.takeAnyImageSize(vit)
    const modules = {
      backbone: new TeacherStudentWrapper(new nn.MaskTokenEncoder(vit), emaOf(config)),
      projector: headPair(vit.dim, config.nPrototypes, config),
      patchProjector: headPair(vit.dim, config.nPatchPrototypes, config),
    }
    const dinov2Loss = new DINOv2Loss({ ...config, studentTemp: config.temperatureStudent })
    const parts = { ...config, ...modules, dinov2Loss, seed }
    return {
      modules,
      forward: (batch, stage, progress) => dinov2.call(parts, batch, stage, progress),
      afterStep: (step, progress) => updateTeachers(Object.values(modules), step, progress, config.emaInterval),
    }
  },
})
