/**
 * W-MSE: the distance between views after whitening, which leaves no room to collapse (Ermolov et al. 2021,
 * arXiv:2007.06346). As in the PyTorch library, and not as in the paper: both views are whitened together and whole, by the
 * eigenvectors of their covariance, with 2 views; the paper whitens slices of the batch by Cholesky.
 */
import { cat, defineMethod, embedViews, expectViews, nn, SptError, viewsOf, whitenedMse, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface WmseParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  /** Of two tensors [batch, width], such as `whitenedMse`. */
  readonly wmseLoss: { forward(first: Tensor, second: Tensor): Tensor }
}

/** The forward of W-MSE without state, for a `Module` with these attributes. */
export function wmse(this: WmseParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage === 'fit') expectViews('w-mse', views, 2)
  const { parts, outputs } = embedViews(this.backbone, views)
  if (stage !== 'fit') return outputs
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  expectRows(first)
  return { loss: this.wmseLoss.forward(first, second), projection: cat([first, second]).detach(), ...outputs }
}

export default defineMethod({
  name: 'w-mse',
  targets: ['stable_pretraining.methods.WMSE'],
  description: 'Decorrelation: the distance between views after all embeddings of a batch are whitened.',
  paper: 'Ermolov et al. 2021, arXiv:2007.06346',
  family: 'decorrelation',
  needs: { views: 2, backbone: 'any' },
  forward: wmse,
  recipe: 'w-mse',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([1024, 64])
      .describe('widths of the projector; the last is whitened and has to be below twice the batch'),
    eps: z.number().positive().default(1e-3).describe('the least variance along an axis that is whitened'),
  }),
  build({ backbone, config: { projectorDims, eps } }) {
    const modules = { backbone: backbone.module, projector: nn.projector([backbone.dim, ...projectorDims]) }
    const wmseLoss = { forward: (first: Tensor, second: Tensor) => whitenedMse(first, second, { eps }) }
    return { modules, forward: (batch, stage) => wmse.call({ ...modules, wmseLoss }, batch, stage) }
  },
})

/** Fewer rows than columns are white whatever they are: nothing could be learnt from them. */
function expectRows({ shape: [batch = 0, width = 0] }: Tensor): void {
  if (2 * batch > width) return
  throw new SptError('ERR_SHAPE', `w-mse: 2 views of ${batch} images cannot be whitened along ${width} axes`, {
    hint: `Set batch_size above ${Math.floor(width / 2)}, or the last of method.projector_dims below ${2 * batch}.`,
  })
}
