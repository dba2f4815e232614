/** The run that `run-start` and `run-overhead` measure: SimCLR with ResNet-18 on 50,000 small pictures, as a file. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cache, cifarFolder } from '../ours/pictures.js'

const turns = fileURLToPath(new URL('turns.js', import.meta.url))

interface Where {
  readonly images: number
  readonly threads: number
  readonly device: string
  readonly probes: boolean
}

/** Writes the configuration; `images` are those of a view. */
export function configuration({ images, threads, device, probes }: Where): string {
  const callbacks = probes ? ['online-probe', '{ type: online-knn, queue_length: 20000 }', turns] : [turns]
  const file = join(cache, `run-${images}-${threads}-${device.replace(/\W/g, '-')}${probes ? '-probes' : ''}.yaml`)
  mkdirSync(cache, { recursive: true })
  // One file ten times: what counts is that an epoch, at whose end a checkpoint is written, is longer than the bench.
  const files = Array<string>(10).fill('data_batch_1.bin').join(', ')
  writeFileSync(
    file,
    `seed: 0
threads: ${threads}
device: ${device}
cache_dir: ${cache}
data:
  train:
    dataset: { type: cifar10, root: ${cifarFolder()}, files: [${files}] }
    batch_size: ${images}
    transform: { type: simclr, size: 32, statistics: CIFAR10 }
backbone: { type: resnet18, low_resolution: true }
method: { type: simclr, projector_dims: [2048, 128] }
optimizer: { type: SGD, lr: 0.1, momentum: 0.9, weight_decay: 1e-6 }
callbacks: [${callbacks.join(', ')}]
trainer: { max_epochs: 1, limit_val_batches: 0 }
`,
  )
  return file
}
