/**
 * VISReg: every view predicts the mean of the global ones, and centre, scale and shape of the projections of each view are
 * held to those of the standard normal distribution (arXiv:2606.02572, as the PyTorch library cites it). The drop path of
 * 0.1 that the PyTorch class gives its vision transformer is an option of the backbone here: `drop_path_rate: 0.1`.
 */
import { cat, cropsOf, defineMethod, embedViews, expectCrops, forwardCrops, labelsOf } from 'stable-pretraining'
import { nn, viewsOf, VISRegLoss, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface VisregParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** Of projections [views, batch, width]. */
  readonly visregLoss: { forward(projections: Tensor): Tensor }
  /** Share of that loss; the rest is the distance of the views. */
  readonly lamb: number
}

/** The forward of VISReg without state, for a `Module` with these attributes; `embedding` is that of the global views. */
export function visreg(this: VisregParts, batch: Batch, stage: Stage): Outputs {
  if (stage !== 'fit') return embedViews(this.backbone, viewsOf(batch)).outputs
  const crops = cropsOf(batch)
  expectCrops('visreg', crops)
  const views = forwardCrops([...crops.globals, ...crops.locals], (images) => this.backbone.forward(images))
  const projections = this.projector.forward(cat(views)) // [views * batch, width]
  const stacked = projections.reshape([views.length, -1, projections.shape[1] ?? 0])
  const globals = crops.globals.length
  const centre = stacked.narrow(0, 0, globals).mean(0, true) // [1, batch, width]
  const invariance = stacked.sub(centre).square().mean()
  const regularity = this.visregLoss.forward(stacked)
  const loss = invariance.mul(1 - this.lamb).add(regularity.mul(this.lamb))
  const embedding = cat(views.slice(0, globals)).detach() // [globals * batch, dim]
  return {
    loss,
    invariance,
    visreg: regularity,
    projection: projections.detach(),
    embedding,
    ...labelsOf(crops.globals),
  }
}

export default defineMethod({
  name: 'visreg',
  targets: ['stable_pretraining.methods.VISReg'],
  description:
    'Predicts the mean of global views from every crop, with centre, scale and shape of embeddings held normal.',
  paper: 'arXiv:2606.02572',
  family: 'decorrelation',
  needs: { views: 'multi-crop', backbone: 'any' },
  forward: visreg,
  recipe: 'visreg',
  config: z.object({
    embedDim: z.int().positive().default(512).describe('width of the linear layer before the projector'),
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 2048, 512])
      .describe('widths of the projector, hidden layers first'),
    numProjections: z.int().positive().default(256).describe('random directions along which the shape is looked at'),
    lambdaScale: z.number().min(0).default(1).describe('weight of the deviation of each component from 1'),
    lambdaShape: z.number().min(0).default(1).describe('weight of the distance to the quantiles of the normal'),
    lambdaCenter: z.number().min(0).default(1).describe('weight of the mean’s distance from 0'),
    lamb: z
      .number()
      .min(0)
      .max(1)
      .default(0.02)
      .describe('share of these three; the rest is the distance of the views'),
  }),
  build({ backbone, config: { embedDim, projectorDims, lamb, ...options } }) {
    nn.takeAnyImageSize(backbone.module) // local crops are smaller
    const modules = {
      backbone: backbone.module,
      projector: new nn.Sequential(new nn.Linear(backbone.dim, embedDim), nn.projector([embedDim, ...projectorDims])),
    }
    const parts = { ...modules, visregLoss: new VISRegLoss(options), lamb }
    return { modules, forward: (batch, stage) => visreg.call(parts, batch, stage) }
  },
})
