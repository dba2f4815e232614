/**
 * DINO: a student matches, across crops, what its own moving average says, centred and sharpened (Caron et al. 2021,
 * arXiv:2104.14294). As in the PyTorch library the teacher's momentum changes with the epoch unless
 * `ema_interval: step`, and prototypes are free in length (`norm_last_layer` fixes it, as the authors do for other networks than ViT-S).
 */
import { cat, cropsOf, defineMethod, DINOv1Loss, expectCrops, forwardCrops, labelsOf, nn } from 'stable-pretraining'
import { emaOf, emaOptions, headOptions, headPair, prototypeOptions, stack } from 'stable-pretraining'
import { teacherTemperatureAt, TeacherStudentWrapper, updateTeachers, z } from 'stable-pretraining'
import type { Batch, BatchProgress, Outputs, Stage } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface DinoParts {
  readonly backbone: TeacherStudentWrapper
  readonly projector: TeacherStudentWrapper
  readonly dinoLoss: DINOv1Loss
  readonly warmupTemperatureTeacher?: number
  readonly temperatureTeacher?: number
  readonly warmupEpochsTemperatureTeacher?: number
  /** Epochs in which the prototypes stay as they are; for a projector that is a DINOHead. */
  readonly freezeLastLayer?: number
}

/** The forward of DINO without state, for a `Module` with these attributes; `embedding` is the teacher's of global crops. */
export function dino(this: DinoParts, batch: Batch, stage: Stage, { epoch }: Pick<BatchProgress, 'epoch'>): Outputs {
  const crops = cropsOf(batch)
  const seen = forwardCrops(crops.globals, (images) => this.backbone.forwardTeacher(images)) // [batch, dim] each
  const outputs = { embedding: cat(seen), ...labelsOf(crops.globals) } // [globals * batch, dim]
  if (stage !== 'fit') return outputs
  expectCrops('dino', crops)
  const { temperatureTeacher: final = 0.07, warmupTemperatureTeacher: warmup = final, freezeLastLayer = 0 } = this
  const temperature = teacherTemperatureAt(epoch, {
    warmup,
    final,
    warmupEpochs: this.warmupEpochsTemperatureTeacher ?? 0,
  })
  const teacher = stack(seen.map((view) => this.projector.forwardTeacher(view))) // [globals, batch, prototypes]
  const targets = this.dinoLoss.softmaxCenterTeacher(teacher, temperature)
  const freezeLast = epoch < freezeLastLayer
  const scores = forwardCrops([...crops.globals, ...crops.locals], (images) =>
    this.projector.forwardStudent(this.backbone.forwardStudent(images), { freezeLast }),
  ) // [batch, prototypes] each
  const loss = this.dinoLoss.forward(stack(scores), targets)
  this.dinoLoss.updateCenter(teacher)
  // What collapses first is the assignment: every row the same prototype, or all of them equally.
  return { loss, projection: targets.flatten(0, 1), ...outputs } // [globals * batch, prototypes]
}

export default defineMethod({
  name: 'dino',
  targets: [
    'stable_pretraining.methods.DINO',
    'stable_pretraining.DINO',
    'stable_pretraining.forward.dino',
    'stable_pretraining.forward.dino_forward',
  ],
  description: 'Self-distillation: crops of an image agree on prototypes with a teacher that sees its large crops.',
  paper: 'Caron et al. 2021, arXiv:2104.14294',
  family: 'self-distillation',
  needs: { views: 'multi-crop', backbone: 'any' },
  forward: dino,
  recipe: 'dino',
  evidence: 'probe',
  config: z.object({
    ...headOptions(),
    nPrototypes: z.int().positive().default(65536).describe('outputs of the head; small data needs fewer'),
    temperatureStudent: z.number().positive().default(0.1).describe('of the student’s softmax'),
    temperatureTeacherWarmup: z.number().positive().default(0.04).describe('of the teacher’s softmax at the start'),
    temperatureTeacher: z.number().positive().default(0.07).describe('of the teacher’s softmax after its warm-up'),
    warmupEpochsTemperatureTeacher: z
      .int()
      .min(0)
      .default(30)
      .describe('epochs in which the teacher’s temperature rises'),
    centerMomentum: z.number().min(0).max(1).default(0.9).describe('share of the past in the centre of the scores'),
    ...emaOptions(0.996, 1),
    ...prototypeOptions(),
  }),
  build({ backbone, config }) {
    nn.takeAnyImageSize(backbone.module)
    const modules = {
      backbone: new TeacherStudentWrapper(backbone.module, emaOf(config)),
      projector: headPair(backbone.dim, config.nPrototypes, config),
      dinoLoss: new DINOv1Loss(config),
    }
    const parts = { ...modules, ...config, warmupTemperatureTeacher: config.temperatureTeacherWarmup }
    return {
      modules,
      forward: (batch, stage, progress) => dino.call(parts, batch, stage, progress),
      afterStep: (step, progress) =>
        updateTeachers([modules.backbone, modules.projector], step, progress, config.emaInterval),
    }
  },
})
