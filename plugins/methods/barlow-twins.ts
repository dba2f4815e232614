/** Barlow Twins: the cross-correlation of two views' embeddings becomes the identity (Zbontar et al. 2021, arXiv:2103.03230). */
import { BarlowTwinsLoss, cat, defineMethod, embedViews, expectViews, nn, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface BarlowTwinsParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** BarlowTwinsLoss, or another of two tensors [batch, width]. */
  readonly barlowLoss: { forward(first: Tensor, second: Tensor): Tensor }
}

/** The forward of Barlow Twins without state, for a `Module` with these attributes. */
export function barlowTwins(this: BarlowTwinsParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('barlow-twins', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  return { loss: this.barlowLoss.forward(first, second), projection: cat([first, second]).detach(), ...outputs }
}

export default defineMethod({
  name: 'barlow-twins',
  targets: [
    'stable_pretraining.methods.BarlowTwins',
    'stable_pretraining.BarlowTwins',
    'stable_pretraining.forward.barlow_twins',
    'stable_pretraining.forward.barlow_twins_forward',
    'stable_pretraining.forward.barlow_forward',
  ],
  description: 'Decorrelation: the same component of two views agrees, different components have nothing in common.',
  paper: 'Zbontar et al. 2021, arXiv:2103.03230',
  family: 'decorrelation',
  needs: { views: 2, backbone: 'any' },
  forward: barlowTwins,
  recipe: 'barlow-twins',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([8192, 8192, 8192])
      .describe('widths of the projector, hidden layers first, the correlated vectors last'),
    lambd: z.number().min(0).default(5.1e-3).describe('weight of the components off the diagonal'),
  }),
  build({ backbone, config: { projectorDims, lambd } }) {
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, ...projectorDims], { bias: false }),
      barlowLoss: new BarlowTwinsLoss({ lambd }),
    }
    return { modules: parts, forward: (batch, stage) => barlowTwins.call(parts, batch, stage) }
  },
})
