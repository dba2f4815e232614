/** Supervised training with a linear classifier: the yardstick that pretraining without labels is measured against. */
import { defineMethod, nn, noGrad, SptError, topKAccuracy, z, type Batch } from 'stable-pretraining'

export default defineMethod({
  name: 'supervised',
  targets: ['stable_pretraining.forward.supervised_forward'],
  description: 'Cross-entropy of a linear classifier on the backbone, with labels.',
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
    const classifier = new nn.Linear(backbone.dim, classes)
    return {
      modules: { backbone: backbone.module, classifier },
      forward(batch: Batch) {
        const { image, label } = batch.views?.[0] ?? batch
        if (image === undefined) throw new SptError('ERR_DATA', 'supervised needs an image in each batch')
        const embedding = backbone.module.forward(image) // [batch, dim]
        const logits = classifier.forward(embedding) // [batch, classes]
        if (label === undefined) return { embedding, logits }
        const loss = logits.crossEntropy(label, { labelSmoothing: config.labelSmoothing })
        const top1 = noGrad(() => topKAccuracy(logits, label, 1))
        return { loss, top1, embedding, logits, label }
      },
    }
  },
})
