/**
 * VICRegL: VICReg on whole images and on their patches, each against its nearest in the other view (Bardes et al. 2022,
 * arXiv:2210.01571). As in the PyTorch library, and not as in the paper: patches are matched by their projections only and
 * from the first view to the second, all of them and not the best 20; matching by place would need the crops' coordinates.
 */
import { cat, defineMethod, embedViews, expectViews, localVicReg, nn, VICRegLoss, viewsOf, z } from 'stable-pretraining'
import type { Batch, Outputs, Stage, Tensor } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface VicreglParts {
  readonly backbone: nn.PatchNetwork
  readonly projector: nn.Layer
  readonly patchProjector: nn.Layer
  /** Of two tensors [batch, width]. */
  readonly globalLoss: { forward(first: Tensor, second: Tensor): Tensor }
  /** Of two tensors [batch, patches, width]. */
  readonly localLoss: { forward(first: Tensor, second: Tensor): Tensor }
  /** Share of the loss on whole images. */
  readonly alpha: number
}

/** The forward of VICRegL without state, for a `Module` with these attributes. */
export function vicregl(this: VicreglParts, batch: Batch, stage: Stage): Outputs {
  const views = viewsOf(batch)
  if (stage !== 'fit') return embedViews(this.backbone, views).outputs
  expectViews('vicregl', views, 2)
  const patches: Tensor[] = []
  const network = {
    forward: (images: Tensor): Tensor => {
      const features = nn.patchFeatures(this.backbone, images)
      patches.push(features.patches) // [batch, patches, dim]
      return features.embedding
    },
  }
  const { parts, outputs } = embedViews(network, views)
  const [first, second] = parts.map((part) => this.projector.forward(part)) as [Tensor, Tensor] // [batch, width] each
  const [near, far] = patches.map((part) => projectPatches(this.patchProjector, part)) as [Tensor, Tensor]
  const whole = this.globalLoss.forward(first, second)
  const local = this.localLoss.forward(near, far)
  return {
    loss: whole.mul(this.alpha).add(local.mul(1 - this.alpha)),
    loss_global: whole,
    loss_local: local,
    projection: cat([first, second]).detach(),
    ...outputs,
  }
}

export default defineMethod({
  name: 'vicregl',
  targets: ['stable_pretraining.methods.VICRegL'],
  description: 'VICReg on whole images and on their patches, for backbones whose features keep their place.',
  paper: 'Bardes et al. 2022, arXiv:2210.01571',
  family: 'decorrelation',
  needs: { views: 2, backbone: 'patches' },
  forward: vicregl,
  recipe: 'vicregl',
  config: z.object({
    projectorDim: z.int().positive().default(2048).describe('width of the three layers of both projectors'),
    alpha: z.number().min(0).max(1).default(0.75).describe('share of the loss on whole images; the rest is on patches'),
    simCoeff: z.number().min(0).default(25).describe('weight of the squared distance between the views'),
    stdCoeff: z.number().min(0).default(25).describe('weight of the deviation below 1'),
    covCoeff: z.number().min(0).default(1).describe('weight of the covariance between components'),
    epsilon: z.number().positive().default(1e-4).describe('added to the variance under the root'),
  }),
  build({ backbone, config: { projectorDim: width, alpha, ...coefficients } }) {
    const network = nn.requirePatches(backbone.module, 'vicregl')
    const projector = (from: number) => nn.projector([from, width, width, width], { lastBias: false })
    const modules = {
      backbone: network,
      projector: projector(backbone.dim),
      patchProjector: projector(network.patchDim),
    }
    const globalLoss = new VICRegLoss(coefficients)
    const localLoss = { forward: (first: Tensor, second: Tensor) => localVicReg(first, second, coefficients) }
    const parts = { ...modules, globalLoss, localLoss, alpha }
    return { modules, forward: (batch, stage) => vicregl.call(parts, batch, stage) }
  },
})

/** [batch, patches, dim] to [batch, patches, width]; batch norm counts each patch as a sample. */
function projectPatches(projector: nn.Layer, patches: Tensor): Tensor {
  const [batch = 0, count = 0, dim = 0] = patches.shape
  return projector.forward(patches.reshape([batch * count, dim])).reshape([batch, count, -1])
}
