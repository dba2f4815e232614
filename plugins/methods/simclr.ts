/** SimCLR: two views of one image attract each other and repel all others (Chen et al. 2020, arXiv:2002.05709). */
import { cat, defineMethod, labelsOf, nn, NTXEntLoss, SptError, viewsOf, z } from 'stable-pretraining'
import type { Batch, Tensor } from 'stable-pretraining'

export default defineMethod({
  name: 'simclr',
  targets: ['stable_pretraining.methods.SimCLR', 'stable_pretraining.forward.simclr_forward'],
  description: 'Contrastive learning: two views of an image attract each other, all other images of the batch repel.',
  paper: 'Chen et al. 2020, arXiv:2002.05709',
  config: z.object({
    projectorDims: z
      .array(z.int().positive())
      .min(1)
      .default([2048, 2048, 256])
      .describe('widths of the projector, hidden layers first, the compared vectors last'),
    temperature: z.number().positive().default(0.5).describe('divides the cosine similarities; smaller is sharper'),
  }),
  build({ backbone, config }) {
    const projector = simclrProjector(backbone.dim, config.projectorDims)
    const loss = new NTXEntLoss({ temperature: config.temperature })
    return {
      modules: { backbone: backbone.module, projector },
      forward(batch: Batch, stage) {
        const views = viewsOf(batch)
        // One pass over all views: batch norm sees the statistics of both, as in the paper.
        const embedding = backbone.module.forward(cat(views.map(({ image }) => image))) // [views * batch, dim]
        const label = labelsOf(views)
        if (stage !== 'fit') return { embedding, ...label }
        if (views.length !== 2) {
          throw new SptError('ERR_DATA', `simclr needs 2 views of each image, got ${views.length}`, {
            hint: 'Give the training data `transform: {type: multi-view, copies: 2, steps: […]}`.',
          })
        }
        const [first, second] = projector.forward(embedding).chunk(2, 0) as [Tensor, Tensor] // [batch, width] each
        return { loss: loss.forward(first, second), embedding, ...label }
      },
    }
  },
})

/** Linear, batch norm and ReLU for each hidden width; then a linear layer and a batch norm that only scales. */
function simclrProjector(dim: number, widths: readonly number[]): nn.Sequential {
  const layers: nn.Layer[] = []
  widths.forEach((width, i) => {
    const last = i === widths.length - 1
    layers.push(new nn.Linear(widths[i - 1] ?? dim, width, { bias: false }))
    const norm = new nn.BatchNorm1d(width)
    layers.push(norm)
    if (last) norm.bias = null
    else layers.push(new nn.ReLU())
  })
  return new nn.Sequential(...layers)
}
