/**
 * TiCo: views agree while embeddings avoid the directions that a running covariance has seen most (Zhu et al. 2022,
 * arXiv:2206.10698). As in the PyTorch library, and not as in the paper: the covariance is that of the centred embeddings of
 * both views, and there is no slowly moving encoder. Equal embeddings are then the best there are; `centered: false` is the
 * paper's covariance, which forbids them.
 */
import { cat, defineMethod, embedViews, expectViews, nn, TiCoLoss, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface TicoParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** TiCoLoss, which owns the running covariance, or another of two tensors [batch, width]. */
  readonly ticoLoss: { forward(first: Tensor, second: Tensor): Tensor }
}

/** The forward of TiCo, for a `Module` with these attributes. */
export function tico(this: TicoParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('tico', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  return { loss: this.ticoLoss.forward(first, second), projection: cat([first, second]).detach(), ...outputs }
}

export default defineMethod({
  name: 'tico',
  targets: ['stable_pretraining.methods.TiCO'],
  description: 'Decorrelation: views agree, and embeddings avoid the directions that a running covariance is full of.',
  paper: 'Zhu et al. 2022, arXiv:2206.10698',
  family: 'decorrelation',
  needs: { views: 2, backbone: 'any' },
  forward: tico,
  recipe: 'tico',
  evidence: 'probe', // the penalty grows with the running covariance, which begins at 0
  config: z.object({
    projectorDims: z
      .tuple([z.int().positive(), z.int().positive()])
      .default([2048, 256])
      .describe('widths of the two hidden layers of the projector, and of the compared vectors'),
    beta: z.number().min(0).max(1).default(0.9).describe('share of the running covariance kept at each step'),
    rho: z.number().min(0).default(20).describe('weight of the covariance penalty'),
    centered: z
      .boolean()
      .default(true)
      .describe('covariance about the mean, as the PyTorch library has it; false is the paper’s and cannot collapse'),
  }),
  build({ backbone, config: { projectorDims, beta, rho, centered } }) {
    const [hidden, width] = projectorDims
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, hidden, hidden, width], { bias: false, lastBias: true }),
      ticoLoss: new TiCoLoss(width, { beta, rho, centered }),
    }
    return { modules: parts, forward: (batch, stage) => tico.call(parts, batch, stage) }
  },
})
