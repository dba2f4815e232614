/**
 * LeJEPA: every view predicts the mean of the global ones, and the projections are kept normally distributed by their
 * characteristic functions along random directions (Balestriero & LeCun 2025, arXiv:2511.08544). As in the PyTorch library,
 * and not as in the paper: the loss is invariance + λ · SIGReg, without the factor (1 − λ). The drop path of 0.1 that the
 * PyTorch class gives its vision transformer is an option of the backbone here: `drop_path_rate: 0.1`.
 */
import { cat, cropsOf, defineMethod, embedViews, EppsPulley, expectCrops, forwardCrops } from 'stable-pretraining'
import { labelsOf, leJepaLoss, nn, randn, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface LejepaParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** Of projections [views, batch, width], the global ones first; every number it gives is logged. */
  readonly lejepaLoss: { forward(projections: Tensor, globals: number): { loss: Tensor } & Outputs }
}

/** The forward of LeJEPA without state, for a `Module` with these attributes; `embedding` is that of the global views. */
export function lejepa(this: LejepaParts, batch: Batch, stage: Stage): Outputs {
  if (stage !== 'fit') return embedViews(this.backbone, viewsOf(batch)).outputs
  const crops = cropsOf(batch)
  expectCrops('lejepa', crops)
  const views = forwardCrops([...crops.globals, ...crops.locals], (images) => this.backbone.forward(images))
  const projections = this.projector.forward(cat(views)) // [views * batch, width]
  const stacked = projections.reshape([views.length, -1, projections.shape[1] ?? 0])
  const globals = crops.globals.length
  const embedding = cat(views.slice(0, globals)).detach() // [globals * batch, dim]
  const losses = this.lejepaLoss.forward(stacked, globals)
  return { ...losses, projection: projections.detach(), embedding, ...labelsOf(crops.globals) }
}

export default defineMethod({
  name: 'lejepa',
  targets: ['stable_pretraining.methods.LeJEPA'],
  description: 'Predicts the mean of global views from every crop, with embeddings kept normally distributed.',
  paper: 'Balestriero & LeCun 2025, arXiv:2511.08544',
  family: 'decorrelation',
  needs: { views: 'multi-crop', backbone: 'any' },
  forward: lejepa,
  recipe: 'lejepa',
  config: z.object({
    embedDim: z.int().positive().default(512).describe('width of the linear layer before the projector'),
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 2048, 512])
      .describe('widths of the projector, hidden layers first'),
    nSlices: z.int().positive().default(1024).describe('random directions along which the distribution is looked at'),
    tMax: z.number().positive().default(3).describe('the characteristic functions are compared from 0 to here'),
    nPoints: z.int().min(2).default(17).describe('places at which they are compared'),
    lamb: z.number().min(0).default(0.02).describe('weight of the distance to the normal distribution'),
  }),
  build({ backbone, config: { embedDim, projectorDims, nSlices, tMax, nPoints, lamb } }) {
    const width = projectorDims.at(-1) ?? 0
    nn.takeAnyImageSize(backbone.module) // local crops are smaller
    const modules = {
      backbone: backbone.module,
      projector: new nn.Sequential(new nn.Linear(backbone.dim, embedDim), nn.projector([embedDim, ...projectorDims])),
    }
    const test = new EppsPulley({ tMax, nPoints })
    // The directions come from the default generator, whose state is in the checkpoint.
    const lejepaLoss = {
      forward: (projections: Tensor, nGlobal: number) =>
        leJepaLoss(projections, randn([width, nSlices]), { nGlobal, lamb, test }),
    }
    return { modules, forward: (batch, stage) => lejepa.call({ ...modules, lejepaLoss }, batch, stage) }
  },
})
