/**
 * BYOL: a student predicts what a slowly moving teacher sees of another view (Grill et al. 2020, arXiv:2006.07733).
 * As in the PyTorch library, and not as in the paper: the coefficient of the teacher moves once an epoch unless
 * `ema_interval: step`, the teacher's running statistics are averaged too, and the loss is the mean of both directions.
 */
import { BYOLLoss, cat, defineMethod, expectViews, labelsOf, nn, TeacherStudentWrapper } from 'stable-pretraining'
import { emaOf, emaOptions, updateTeachers, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface ByolParts {
  readonly backbone: TeacherStudentWrapper
  readonly projector: TeacherStudentWrapper
  readonly predictor: nn.Layer
  /** BYOLLoss, or another of a prediction and a target [batch, width]. */
  readonly byolLoss: { forward(prediction: Tensor, target: Tensor): Tensor }
}

/** The forward of BYOL without state, for a `Module` with these attributes; `embedding` is the teacher's. */
export function byol(this: ByolParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('byol', views, 2)
  const seen = views.map(({ image }) => this.backbone.forwardTeacher(image)) // [batch, dim] each
  const outputs = { embedding: cat(seen, 0), ...labelsOf(views) }
  if (stage !== 'fit') return outputs
  const targets = seen.map((embedding) => this.projector.forwardTeacher(embedding)) as [Tensor, Tensor]
  const projected = views.map(({ image }) => this.projector.forwardStudent(this.backbone.forwardStudent(image)))
  const [first, second] = projected.map((z) => this.predictor.forward(z)) as [Tensor, Tensor] // [batch, width] each
  const there = this.byolLoss.forward(first, targets[1])
  const back = this.byolLoss.forward(second, targets[0])
  return { loss: there.add(back).mul(0.5), projection: cat(projected).detach(), ...outputs }
}

export default defineMethod({
  name: 'byol',
  targets: [
    'stable_pretraining.methods.BYOL',
    'stable_pretraining.BYOL',
    'stable_pretraining.forward.byol',
    'stable_pretraining.forward.byol_forward',
  ],
  description: 'Self-distillation without negatives: a student predicts the view of a slowly moving teacher.',
  paper: 'Grill et al. 2020, arXiv:2006.07733',
  family: 'self-distillation',
  needs: { views: 2, backbone: 'any' },
  forward: byol,
  recipe: 'byol',
  config: z.object({
    projectorDims: widths().default([4096, 256]).describe('widths of the projector, hidden layers first'),
    predictorDims: widths().default([4096, 256]).describe('widths of the predictor; the last as the projector’s'),
    ...emaOptions(0.99, 1),
  }),
  build({ backbone, config }) {
    const { projectorDims, predictorDims, emaInterval } = config
    const ema = emaOf(config)
    const parts = {
      backbone: new TeacherStudentWrapper(backbone.module, ema),
      projector: new TeacherStudentWrapper(nn.projector([backbone.dim, ...projectorDims]), ema),
      predictor: nn.projector([projectorDims.at(-1) ?? 0, ...predictorDims]),
      byolLoss: new BYOLLoss(),
    }
    return {
      modules: parts,
      forward: (batch, stage) => byol.call(parts, batch, stage),
      afterStep: (step, progress) => updateTeachers([parts.backbone, parts.projector], step, progress, emaInterval),
    }
  },
})

function widths() {
  return z.array(z.int().positive()).min(1)
}
