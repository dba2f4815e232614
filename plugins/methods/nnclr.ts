/**
 * NNCLR: the positive of a view is the nearest neighbour of the other view among older embeddings (Dwibedi et al. 2021,
 * arXiv:2104.14548). As in the PyTorch library, and not as in the paper: the first view enters the queue before the
 * look-up, so that its own neighbour is itself (`own_view_as_neighbour: false` lets it in afterwards), the queue begins
 * empty, and the loss is NT-Xent over both sides.
 */
import { cat, defineMethod, embedViews, expectViews, nn, NNCLRLoss, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface NnclrParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  readonly predictor: nn.Layer
  /** It owns the queue of neighbours, so that a checkpoint has it. */
  readonly nnclrLoss: Pick<NNCLRLoss, 'forward'>
}

/** The forward of NNCLR, for a `Module` with these attributes. */
export function nnclr(this: NnclrParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('nnclr', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  const detached = { ...outputs, embedding: outputs.embedding.detach() }
  if (stage !== 'fit') return detached
  const [z1, z2] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  const [p1, p2] = [this.predictor.forward(z1), this.predictor.forward(z2)]
  return { loss: this.nnclrLoss.forward(z1, z2, p1, p2), projection: cat([z1, z2]).detach(), ...detached }
}

export default defineMethod({
  name: 'nnclr',
  targets: [
    'stable_pretraining.methods.NNCLR',
    'stable_pretraining.NNCLR',
    'stable_pretraining.forward.nnclr',
    'stable_pretraining.forward.nnclr_forward',
  ],
  description: 'Contrastive learning whose positives are nearest neighbours among older embeddings.',
  paper: 'Dwibedi et al. 2021, arXiv:2104.14548',
  family: 'contrastive',
  needs: { views: 2, backbone: 'any' },
  forward: nnclr,
  recipe: 'nnclr',
  config: z.object({
    projectorDims: z
      .tuple([z.int().positive(), z.int().positive()])
      .default([2048, 256])
      .describe('widths of the two hidden layers of the projector, and of the compared vectors'),
    predictorHiddenDim: z.int().positive().default(4096).describe('width of the hidden layer of the predictor'),
    queueLength: z.int().positive().default(16384).describe('embeddings among which neighbours are looked for'),
    temperature: z.number().positive().default(0.1).describe('divides the cosine similarities; smaller is sharper'),
    ownViewAsNeighbour: z.boolean().default(true).describe('whether the first view is among its own neighbours'),
  }),
  build({ backbone, config: { projectorDims, predictorHiddenDim, ...loss } }) {
    const [hidden, width] = projectorDims
    const parts = {
      backbone: backbone.module,
      projector: nn.projector([backbone.dim, hidden, hidden, width], { bias: false, lastNorm: 'affine' }),
      predictor: nn.projector([width, predictorHiddenDim, width], { bias: false, lastBias: true }),
      nnclrLoss: new NNCLRLoss(loss),
    }
    return { modules: parts, forward: (batch, stage) => nnclr.call(parts, batch, stage) }
  },
})
