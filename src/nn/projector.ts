/** Projectors and predictors: the perceptrons with batch norm that methods put on embeddings. */
import { argumentInvalid } from '../errors.js'
import { ReLU } from './activation.js'
import { Sequential } from './containers.js'
import { Linear } from './linear.js'
import type { Layer } from './module.js'
import { BatchNorm1d, BatchNorm1dNoBias } from './normalization.js'

export interface ProjectorOptions {
  /** Batch norm between each hidden layer and its ReLU. On by default. */
  norm?: boolean
  /** Biases in the hidden linear layers. On by default; before a batch norm they are without effect. */
  bias?: boolean
  /** A bias in the last linear layer; by default as in the hidden ones. */
  lastBias?: boolean
  /** A batch norm after the last linear layer: with scale and bias, with a scale only, with neither. None by default. */
  lastNorm?: 'affine' | 'scale' | 'plain' | null
}

/**
 * Linear, batch norm, ReLU for each hidden width, then a linear layer; children are named 0, 1, 2 … without gaps, as in
 * torch.nn.Sequential.
 *
 * @param dims widths from the input to the output, such as [512, 2048, 128].
 * @throws ERR_ARGUMENT for fewer than two widths.
 */
export function projector(dims: readonly number[], options: ProjectorOptions = {}): Sequential {
  const { norm = true, bias = true, lastBias = bias, lastNorm = null } = options
  if (dims.length < 2) throw argumentInvalid('projector: dims', 'two widths or more', dims)
  const layers: Layer[] = []
  for (const [index, width] of dims.slice(1).entries()) {
    const last = index === dims.length - 2
    layers.push(new Linear(dims[index] ?? 0, width, { bias: last ? lastBias : bias }))
    if (!last) layers.push(...(norm ? [new BatchNorm1d(width)] : []), new ReLU())
    else if (lastNorm === 'scale') layers.push(new BatchNorm1dNoBias(width))
    else if (lastNorm !== null) layers.push(new BatchNorm1d(width, { affine: lastNorm === 'affine' }))
  }
  return new Sequential(...layers)
}
