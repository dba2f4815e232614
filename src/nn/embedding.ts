/** A table of vectors that is looked up by index. */
import { empty, type Tensor } from '../tensor/index.js'
import { normal_ } from './init.js'
import { Module, parameter } from './module.js'

/** torch.nn.Embedding: int64 indices [...] → vectors [..., embeddingDim]; the weight is [numEmbeddings, embeddingDim]. */
export class Embedding extends Module {
  weight: Tensor

  constructor(numEmbeddings: number, embeddingDim: number) {
    super()
    this.weight = parameter(empty([numEmbeddings, embeddingDim]))
    normal_(this.weight)
  }

  forward(indices: Tensor): Tensor {
    return this.weight.embedding(indices)
  }
}
