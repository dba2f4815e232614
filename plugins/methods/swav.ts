/**
 * SwAV: each crop predicts the cluster that another crop of its image is assigned to (Caron et al. 2020, arXiv:2006.09882).
 * As in the PyTorch library each crop has a pass of its own. The queue, which balances the clusters of small batches, is off
 * in the paper's runs with large ones: `queue_length: 0`.
 */
import { cat, cropsOf, defineMethod, expectCrops, labelsOf, nn, noGrad, normaliseRows } from 'stable-pretraining'
import { RowQueue, SwAVLoss, swavMultiCrop, z } from 'stable-pretraining'
import type { Batch, BatchProgress, Outputs, Stage, SwAVOptions } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface SwavParts {
  readonly backbone: nn.Layer
  readonly projector: nn.Layer
  readonly prototypes: nn.Linear
  /** SwAVLoss, for its options. */
  readonly swavLoss: { readonly options: SwAVOptions }
  /** Rows of projections of all global crops of an image, from `startQueueAtEpoch` on; used once it is full. */
  readonly queue?: RowQueue | undefined
  readonly startQueueAtEpoch?: number
  /** Epochs in which the prototypes stay as they are. */
  readonly freezePrototypes?: number
  readonly localCodes?: boolean
}

/** The forward of SwAV without state, for a `Module` with these attributes; `embedding` is that of global crops. */
export function swav(this: SwavParts, batch: Batch, stage: Stage, { epoch }: Pick<BatchProgress, 'epoch'>): Outputs {
  const crops = cropsOf(batch)
  const { globals, locals } = crops
  const seen = (stage === 'fit' ? [...globals, ...locals] : globals).map(({ image }) => this.backbone.forward(image))
  const embedding = cat(seen.slice(0, globals.length)).detach() // [globals * batch, dim]
  const outputs = { embedding, ...labelsOf(globals) }
  if (stage !== 'fit') return outputs
  expectCrops('swav', crops)
  const { prototypes, queue, startQueueAtEpoch = 0, freezePrototypes = 0, localCodes = false } = this
  normaliseRows(prototypes.weight)
  const projections = seen.map((view) => this.projector.forward(view)) // [batch, width] each
  const firsts = projections.slice(0, globals.length)
  const weight = epoch < freezePrototypes ? prototypes.weight.detach() : prototypes.weight
  const queues = queue?.length === queue?.maxLength ? queue?.rows()?.chunk(globals.length, 1) : undefined
  const options = { ...this.swavLoss.options, localCodes, queues }
  const loss = swavMultiCrop(firsts, projections.slice(globals.length), weight, options)
  if (queue && epoch >= startQueueAtEpoch) noGrad(() => queue.append(cat(firsts, 1)))
  return { loss, ...outputs }
}

export default defineMethod({
  name: 'swav',
  targets: [
    'stable_pretraining.methods.SwAV',
    'stable_pretraining.SwAV',
    'stable_pretraining.forward.swav',
    'stable_pretraining.forward.swav_forward',
  ],
  description: 'Clustering online: crops of an image predict each other’s prototypes, which share the images evenly.',
  paper: 'Caron et al. 2020, arXiv:2006.09882',
  family: 'clustering',
  needs: { views: 'multi-crop', backbone: 'any' },
  forward: swav,
  recipe: 'swav',
  evidence: 'probe',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 128])
      .describe('widths of the projector, hidden layers first, the clustered vectors last'),
    nPrototypes: z.int().positive().default(3000).describe('clusters; about ten times the classes one hopes for'),
    temperature: z.number().positive().default(0.1).describe('of the softmax over prototypes'),
    sinkhornIterations: z.int().min(1).default(3).describe('rounds in which the assignments are balanced'),
    epsilon: z.number().positive().default(0.05).describe('softness of the assignments; smaller is harder'),
    queueLength: z.int().min(0).default(3840).describe('earlier images that balance the assignments; 0: none'),
    startQueueAtEpoch: z.int().min(0).default(15).describe('epochs before the queue is filled; it is used once full'),
    freezePrototypes: z.int().min(0).default(1).describe('epochs in which the prototypes stay as they are'),
    localCodes: z
      .boolean()
      .default(false)
      .describe('local crops are assigned too, as in the PyTorch library; in the paper only global ones are'),
  }),
  build({ backbone, config }) {
    nn.takeAnyImageSize(backbone.module)
    const layers = nn.projector([backbone.dim, ...config.projectorDims]).layers
    const projector = new nn.Sequential(...layers, new nn.L2Norm())
    const prototypes = new nn.Linear(config.projectorDims.at(-1) ?? 0, config.nPrototypes, { bias: false })
    const queue = config.queueLength > 0 ? new RowQueue(config.queueLength) : undefined
    const modules = { backbone: backbone.module, projector, prototypes, ...(queue && { queue }) }
    const parts = { ...config, ...modules, swavLoss: new SwAVLoss(config) }
    return { modules, forward: (batch, stage, progress) => swav.call(parts, batch, stage, progress) }
  },
})
