/** Multi-layer perceptrons as stable-pretraining and torchvision build them. */
import { BatchNorm1d } from './normalization.js'
import { ReLU } from './activation.js'
import { Sequential } from './containers.js'
import { Dropout } from './dropout.js'
import { Linear } from './linear.js'
import type { Layer } from './module.js'

export interface MlpOptions {
  /** A norm after each linear layer but the last. */
  norm?: 'batch_norm' | null
  activation?: () => Layer
  bias?: boolean
  dropout?: number
}

/**
 * Linear [norm] activation dropout for all layers but the last, which is Linear and dropout, as torchvision's MLP. The
 * dropout layers are there even at 0, so that the names in the state dict are torchvision's.
 *
 * @param dims sizes from the input to the output, such as [512, 2048, 128].
 */
export function mlp(dims: readonly number[], options: MlpOptions = {}): Sequential {
  const { norm = null, activation = () => new ReLU(), bias = true, dropout = 0 } = options
  const layers: Layer[] = []
  for (let index = 1; index < dims.length; index += 1) {
    const [input, output] = [dims[index - 1] ?? 0, dims[index] ?? 0]
    layers.push(new Linear(input, output, { bias }))
    if (index < dims.length - 1) {
      if (norm === 'batch_norm') layers.push(new BatchNorm1d(output))
      layers.push(activation())
    }
    layers.push(new Dropout(dropout))
  }
  return new Sequential(...layers)
}
