/** Whole training steps on one batch that is there already: forward, NT-Xent, backward, optimizer. */
import * as sp from 'stable-pretraining'
import type { Case, Network } from '../harness/cases.js'
import type { Precision, Setting } from '../harness/options.js'
import type { Work } from './program.js'

export function trainingStep({ network, images }: Case & { kind: 'step' }, { device, precision }: Setting): Work {
  const { module, optimizer } = build(network)
  module.to(device)
  const loss = new sp.NTXEntLoss({ temperature: 0.5 })
  const batch = sp.randn([images, 3, 32, 32]) // both views
  const losses: number[] = []
  const scaler = precision === '16-mixed' ? new sp.GradScaler() : undefined
  module.train()
  return {
    async run() {
      await sp.scope(async () => {
        // As the trainer: the network under autocast, its result and the loss in float32.
        const forward = () => module.forward(batch)
        const half = sixteen(precision)
        const embedded = half === undefined ? forward() : sp.autocast(half, forward).to('float32')
        const [first, second] = embedded.chunk(2, 0) as [sp.Tensor, sp.Tensor]
        const value = loss.forward(first, second)
        // With the scaler's reading, as a run has it.
        if (scaler) {
          scaler.scale(value).backward()
          scaler.step(optimizer)
          scaler.update()
        } else {
          value.backward()
          optimizer.step()
        }
        optimizer.zeroGrad()
        losses.push(await value.item())
      })
    },
    notes: () => ({ loss_first: losses[0], loss_last: losses.at(-1) }),
  }
}

/** The 16-bit type of mixed precision. */
export const sixteen = (precision: Precision): 'bfloat16' | 'float16' | undefined =>
  precision === 'fp32' ? undefined : precision === 'bf16-mixed' ? 'bfloat16' : 'float16'

/** ResNet-18 with a 3×3 stem and no max-pool, or ViT-Tiny with patches of 4×4; then width-2048-BN-ReLU-128. */
function build(network: Network): { module: sp.nn.Sequential; optimizer: sp.Optimizer } {
  if (network === 'simclr-r18') {
    const module = new sp.nn.Sequential(sp.nn.resnet18({ lowResolution: true }), projector(512))
    const options = { lr: 0.1, momentum: 0.9, weightDecay: 1e-6 }
    return { module, optimizer: new sp.SGD([{ params: module.parameters() }], options) }
  }
  const backbone = sp.nn.vit('tiny', { imgSize: 32, patchSize: 4, numClasses: 0, dynamicImgSize: false })
  const module = new sp.nn.Sequential(backbone, projector(192))
  return { module, optimizer: new sp.AdamW([{ params: module.parameters() }], { lr: 1e-3, weightDecay: 0.05 }) }
}

const projector = (width: number): sp.nn.Layer => sp.nn.mlp([width, 2048, 128], { norm: 'batch_norm' })
