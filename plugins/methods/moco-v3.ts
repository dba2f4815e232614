/**
 * MoCo v3: both views find each other among the batch, queries through a predictor, keys from a slowly moving encoder
 * (Chen et al. 2021, arXiv:2104.02057). As in the PyTorch library, and not as in the paper: no factor 2·temperature, the
 * coefficient moves once an epoch unless `ema_interval: step`, the predictor ends without a batch norm, and a vision
 * transformer's patch embedding is trained (freeze it in the backbone if training is unstable).
 */
import { cat, defineMethod, expectViews, labelsOf, mocoV3Loss, nn, TeacherStudentWrapper } from 'stable-pretraining'
import { emaOf, emaOptions, updateTeachers, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface MocoV3Parts {
  readonly backbone: TeacherStudentWrapper
  readonly projector: TeacherStudentWrapper
  readonly predictor: nn.Layer
  /** Of queries and keys [batch, width]. */
  readonly mocoLoss: { forward(query: Tensor, key: Tensor): Tensor }
}

/** The forward of MoCo v3 without state, for a `Module` with these attributes; `embedding` is the key encoder's. */
export function mocoV3(this: MocoV3Parts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('moco-v3', views, 2)
  const seen = views.map(({ image }) => this.backbone.forwardTeacher(image)) // [batch, dim] each
  const outputs = { embedding: cat(seen, 0), ...labelsOf(views) }
  if (stage !== 'fit') return outputs
  const keys = seen.map((embedding) => this.projector.forwardTeacher(embedding)) as [Tensor, Tensor]
  const projected = views.map(({ image }) => this.projector.forwardStudent(this.backbone.forwardStudent(image)))
  const [first, second] = projected.map((z) => this.predictor.forward(z)) as [Tensor, Tensor] // [batch, width] each
  const there = this.mocoLoss.forward(first, keys[1])
  const back = this.mocoLoss.forward(second, keys[0])
  return { loss: there.add(back).mul(0.5), projection: cat(projected).detach(), ...outputs }
}

export default defineMethod({
  name: 'moco-v3',
  aliases: ['mocov3'],
  targets: ['stable_pretraining.methods.MoCov3'],
  description:
    'Contrastive learning within the batch, with keys from a slowly moving encoder; made for vision transformers.',
  paper: 'Chen et al. 2021, arXiv:2104.02057',
  family: 'contrastive',
  needs: { views: 2, backbone: 'any' },
  forward: mocoV3,
  recipe: 'moco-v3',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([4096, 4096, 256])
      .describe('widths of the projector, hidden layers first, the compared vectors last'),
    predictorHiddenDim: z.int().positive().default(4096).describe('width of the hidden layer of the predictor'),
    temperature: z.number().positive().default(0.2).describe('divides the cosine similarities; smaller is sharper'),
    ...emaOptions(0.99, 1, 'key encoder'),
  }),
  build({ backbone, config }) {
    const { projectorDims, predictorHiddenDim, temperature, emaInterval } = config
    const ema = emaOf(config)
    const width = projectorDims.at(-1) ?? 0
    const projector = nn.projector([backbone.dim, ...projectorDims], { bias: false, lastNorm: 'plain' })
    const modules = {
      backbone: new TeacherStudentWrapper(backbone.module, ema),
      projector: new TeacherStudentWrapper(projector, ema),
      predictor: nn.projector([width, predictorHiddenDim, width], { bias: false }),
    }
    const mocoLoss = { forward: (query: Tensor, key: Tensor) => mocoV3Loss(query, key, { temperature }) }
    return {
      modules,
      forward: (batch, stage) => mocoV3.call({ ...modules, mocoLoss }, batch, stage),
      afterStep: (step, progress) => updateTeachers([modules.backbone, modules.projector], step, progress, emaInterval),
    }
  },
})
