/**
 * SimCLR: two views of one image attract each other and repel all others (Chen et al. 2020, arXiv:2002.05709). As in the
 * PyTorch library, batch norm sees one view at a time; in the paper it sees both together.
 */
import { cat, defineMethod, embedViews, expectViews, nn, NTXEntLoss, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface SimclrParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** NTXEntLoss, or another of two tensors [batch, width]. */
  readonly simclrLoss: { forward(first: Tensor, second: Tensor): Tensor }
}

/** The forward of SimCLR without state, for a `Module` with these attributes. */
export function simclr(this: SimclrParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('simclr', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  return { loss: this.simclrLoss.forward(first, second), projection: cat([first, second]).detach(), ...outputs }
}

export default defineMethod({
  name: 'simclr',
  targets: [
    'stable_pretraining.methods.SimCLR',
    'stable_pretraining.SimCLR',
    'stable_pretraining.forward.simclr',
    'stable_pretraining.forward.simclr_forward',
  ],
  description: 'Contrastive learning: two views of an image attract each other, all other images of the batch repel.',
  paper: 'Chen et al. 2020, arXiv:2002.05709',
  family: 'contrastive',
  needs: { views: 2, backbone: 'any' },
  forward: simclr,
  recipe: 'simclr',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 2048, 256])
      .describe('widths of the projector, hidden layers first, the compared vectors last'),
    temperature: z.number().positive().default(0.5).describe('divides the cosine similarities; smaller is sharper'),
  }),
  build({ backbone, config }) {
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, ...config.projectorDims], { bias: false, lastNorm: 'scale' }),
      simclrLoss: new NTXEntLoss({ temperature: config.temperature }),
    }
    return { modules: parts, forward: (batch, stage) => simclr.call(parts, batch, stage) }
  },
})
