/** SimSiam: two views predict each other, and a stop-gradient alone keeps them from collapsing (Chen & He 2021, arXiv:2011.10566). */
import {
  cat,
  defineMethod,
  embedViews,
  expectViews,
  NegativeCosineSimilarity,
  nn,
  viewsOf,
  z,
} from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface SimsiamParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  readonly predictor: nn.Layer
  /** NegativeCosineSimilarity, or another of a prediction and a target [batch, width]. */
  readonly simsiamLoss: { forward(prediction: Tensor, target: Tensor): Tensor }
}

/** The forward of SimSiam without state, for a `Module` with these attributes. */
export function simsiam(this: SimsiamParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('simsiam', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const projected = parts.map((part) => this.projector.forward(part)) // [batch, width] each
  const [a, b] = projected.map((z) => this.predictor.forward(z)) as [Tensor, Tensor]
  // Without this stop-gradient both sides agree on one vector for every image.
  const [targetA, targetB] = projected.map((z) => z.detach()) as [Tensor, Tensor]
  const loss = this.simsiamLoss.forward(a, targetB).add(this.simsiamLoss.forward(b, targetA)).mul(0.5)
  return { loss, projection: cat([targetA, targetB]), ...outputs }
}

export default defineMethod({
  name: 'simsiam',
  targets: ['stable_pretraining.methods.SimSiam'],
  description: 'Self-distillation without a teacher: each view predicts the other behind a stop-gradient.',
  paper: 'Chen & He 2021, arXiv:2011.10566',
  family: 'self-distillation',
  needs: { views: 2, backbone: 'any' },
  forward: simsiam,
  recipe: 'simsiam',
  config: z.object({
    projectorDim: z.int().positive().default(2048).describe('width of the three layers of the projector'),
    predictorHiddenDim: z.int().positive().default(512).describe('width of the hidden layer of the predictor'),
  }),
  build({ backbone, config: { projectorDim: width, predictorHiddenDim } }) {
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, width, width, width], { bias: false, lastNorm: 'plain' }),
      predictor: nn.projector([width, predictorHiddenDim, width], { bias: false, lastBias: true }),
      simsiamLoss: new NegativeCosineSimilarity(),
    }
    return { modules: parts, forward: (batch, stage) => simsiam.call(parts, batch, stage) }
  },
})
