/** VICReg: invariance, variance, covariance of two views' embeddings (Bardes et al. 2022, arXiv:2105.04906). */
import { cat, defineMethod, embedViews, expectViews, nn, VICRegLoss, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface VicregParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** VICRegLoss, or another of two tensors [batch, width]. */
  readonly vicregLoss: { forward(first: Tensor, second: Tensor): Tensor }
}

/** The forward of VICReg without state, for a `Module` with these attributes. */
export function vicreg(this: VicregParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('vicreg', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  return { loss: this.vicregLoss.forward(first, second), projection: cat([first, second]).detach(), ...outputs }
}

export default defineMethod({
  name: 'vicreg',
  targets: [
    'stable_pretraining.methods.VICReg',
    'stable_pretraining.VICReg',
    'stable_pretraining.forward.vicreg',
    'stable_pretraining.forward.vicreg_forward',
  ],
  description: 'Decorrelation: views agree while each component keeps its variance and shares none with others.',
  paper: 'Bardes et al. 2022, arXiv:2105.04906',
  family: 'decorrelation',
  needs: { views: 2, backbone: 'any' },
  forward: vicreg,
  recipe: 'vicreg',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([8192, 8192, 8192])
      .describe('widths of the projector, hidden layers first, the regularised vectors last'),
    simCoeff: z.number().min(0).default(25).describe('weight of the squared distance between the views'),
    stdCoeff: z.number().min(0).default(25).describe('weight of the deviation below 1; without it embeddings collapse'),
    covCoeff: z.number().min(0).default(1).describe('weight of the covariance between components'),
    epsilon: z.number().positive().default(1e-4).describe('added to the variance under the root'),
  }),
  build({ backbone, config: { projectorDims, ...coefficients } }) {
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, ...projectorDims], { lastBias: false }),
      vicregLoss: new VICRegLoss(coefficients),
    }
    return { modules: parts, forward: (batch, stage) => vicreg.call(parts, batch, stage) }
  },
})
