/** Supervised training with a linear classifier: the yardstick that pretraining without labels is measured against. */
import { defineMethod, nn, noGrad, SptError, Tensor, topKAccuracy, z } from 'stable-pretraining'
import type { Batch, Outputs } from 'stable-pretraining'

/** What the forward below finds on `this`. */
export interface SupervisedParts {
  readonly backbone: nn.Layer
  readonly classifier: nn.Layer
  /** Of logits [batch, classes] and class numbers [batch] or shares [batch, classes], such as nn's cross-entropy. */
  readonly supervisedLoss: { forward(logits: Tensor, label: Tensor): Tensor }
}

/** Supervised training without state, for a `Module` with these attributes; with labels it has a loss in every stage. */
export function supervised(this: SupervisedParts, batch: Batch): Outputs {
  const { image, label } = batch.views?.[0] ?? batch
  if (image === undefined) throw new SptError('ERR_DATA', 'supervised needs an image in each batch')
  const embedding = this.backbone.forward(image) // [batch, dim]
  const logits = this.classifier.forward(embedding) // [batch, classes]
  if (label === undefined) return { embedding, logits }
  const top1 = noGrad(() => topKAccuracy(logits, label, 1))
  // Mixed images have shares of classes [batch, classes] instead of a class number.
  const target = batch['soft_label'] instanceof Tensor ? batch['soft_label'] : label
  return { loss: this.supervisedLoss.forward(logits, target), top1, embedding, logits, label }
}

export default defineMethod({
  name: 'supervised',
  targets: ['stable_pretraining.forward.supervised', 'stable_pretraining.forward.supervised_forward'],
  description: 'Cross-entropy of a linear classifier on the backbone, with labels.',
  family: 'supervised',
  needs: { views: 1, backbone: 'any', labels: true },
  forward: supervised,
  config: z.object({
    numClasses: z.int().positive().optional().describe('number of classes; found from the data set where it has names'),
    labelSmoothing: z.number().min(0).max(1).default(0).describe('share of the target spread over all classes'),
  }),
  build({ backbone, numClasses, config }) {
    const classes = config.numClasses ?? numClasses
    if (classes === undefined) {
      throw new SptError('ERR_CONFIG', 'supervised: the data set does not say how many classes it has', {
        hint: 'Set method.num_classes.',
      })
    }
    const { labelSmoothing } = config
    const modules = { backbone: backbone.module, classifier: new nn.Linear(backbone.dim, classes) }
    const supervisedLoss = {
      forward: (logits: Tensor, label: Tensor) => logits.crossEntropy(label, { labelSmoothing }),
    }
    return { modules, forward: (batch) => supervised.call({ ...modules, supervisedLoss }, batch) }
  },
})
