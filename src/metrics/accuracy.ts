/** Accuracy of class scores. It keeps no sums over batches; the logbook does. */
import { shapeMismatch } from '../errors.js'
import { noGrad, type Tensor } from '../tensor/index.js'

/** Share of rows of `scores` [rows, classes] whose `target` [rows] is among the `k` highest: one number, float32. */
export function topKAccuracy(scores: Tensor, target: Tensor, k: number): Tensor {
  if (scores.ndim !== 2 || target.ndim !== 1 || scores.shape[0] !== target.shape[0]) {
    throw shapeMismatch('topKAccuracy', `scores [rows, classes] for targets [${target.shape.join(', ')}]`, scores.shape)
  }
  return noGrad(() => {
    const [, indices] = scores.detach().topk(Math.min(k, scores.shape[1] ?? 0), 1) // [rows, k]
    return indices.eq(target.unsqueeze(1)).to('float32').sum(1).mean()
  })
}
