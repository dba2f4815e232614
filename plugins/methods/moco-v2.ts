/**
 * MoCo v2: a query finds its key, made by a slowly moving encoder, among a queue of older keys (Chen et al. 2020,
 * arXiv:2003.04297). As in the PyTorch library, and not as in the paper: the keys of a batch enter the queue before they
 * are used, so that each positive is among its negatives too (`own_key_as_negative: false` leaves it out there), the
 * queue begins empty, and batch norm is not shuffled, which needs several devices. The loss
 * rises while the queue fills, and falls afterwards.
 */
import { cat, defineMethod, expectViews, labelsOf, MoCoLoss, nn, TeacherStudentWrapper } from 'stable-pretraining'
import { emaOf, emaOptions, updateTeachers, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface MocoV2Parts {
  readonly backbone: TeacherStudentWrapper
  readonly projector: TeacherStudentWrapper
  /** MoCoLoss, which owns the queue, or another of queries and keys [batch, width]. */
  readonly mocoLoss: { forward(query: Tensor, key: Tensor): Tensor }
}

/** The forward of MoCo v2, for a `Module` with these attributes; `embedding` is the key encoder's of the first view. */
export function mocoV2(this: MocoV2Parts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage !== 'fit') {
    return {
      embedding: cat(
        views.map(({ image }) => this.backbone.forwardTeacher(image)),
        0,
      ),
      ...labelsOf(views),
    }
  }
  expectViews('moco-v2', views, 2)
  const [first, second] = views as [(typeof views)[0], (typeof views)[0]]
  const query = this.projector.forwardStudent(this.backbone.forwardStudent(first.image)) // [batch, width]
  const key = this.projector.forwardTeacher(this.backbone.forwardTeacher(second.image)) // [batch, width]
  const embedding = this.backbone.forwardTeacher(first.image)
  return { loss: this.mocoLoss.forward(query, key), projection: query.detach(), embedding, ...labelsOf([first]) }
}

export default defineMethod({
  name: 'moco-v2',
  aliases: ['mocov2', 'moco'],
  targets: ['stable_pretraining.methods.MoCov2'],
  description: 'Contrastive learning with a queue of keys from a slowly moving encoder, for small batches.',
  paper: 'Chen et al. 2020, arXiv:2003.04297',
  family: 'contrastive',
  needs: { views: 2, backbone: 'any' },
  forward: mocoV2,
  recipe: 'moco-v2',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 128])
      .describe('widths of the projector, hidden layers first, the compared vectors last'),
    queueLength: z.int().positive().default(65536).describe('keys that are kept as negatives'),
    temperature: z.number().positive().default(0.2).describe('divides the cosine similarities; smaller is sharper'),
    ...emaOptions(0.999, 0.999, 'key encoder'),
    ownKeyAsNegative: z.boolean().default(true).describe('whether the keys of a batch are negatives of it already'),
  }),
  build({ backbone, config }) {
    const { projectorDims, emaInterval, queueLength, temperature, ownKeyAsNegative } = config
    const ema = emaOf(config)
    const parts = {
      backbone: new TeacherStudentWrapper(backbone.module, ema),
      projector: new TeacherStudentWrapper(nn.projector([backbone.dim, ...projectorDims], { norm: false }), ema),
      mocoLoss: new MoCoLoss({ queueLength, temperature, ownKeyAsNegative }),
    }
    return {
      modules: parts,
      forward: (batch, stage) => mocoV2.call(parts, batch, stage),
      afterStep: (step, progress) => updateTeachers([parts.backbone, parts.projector], step, progress, emaInterval),
    }
  },
})
