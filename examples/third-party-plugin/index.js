/**
 * RotNet as a package of its own: the backbone learns to tell by how much a picture was turned (Gidaris, Singh, Komodakis
 * 2018, arXiv:1803.07728). It uses nothing but the public API.
 */
import { cat, defineMethod, nn, noGrad, tensor, topKAccuracy, z } from 'stable-pretraining'

export default defineMethod({
  name: 'rotnet',
  description: 'Predicts by how many quarter turns an image was rotated.',
  paper: 'Gidaris et al. 2018, arXiv:1803.07728',
  family: 'other',
  needs: { views: 1, backbone: 'any' },
  config: z.object({
    hidden: z.int().positive().default(512).describe('width of the hidden layer of the head'),
  }),
  build({ backbone, config }) {
    const head = new nn.Sequential(
      new nn.Linear(backbone.dim, config.hidden),
      new nn.ReLU(),
      new nn.Linear(config.hidden, 4),
    )
    return {
      modules: { backbone: backbone.module, head },
      forward(batch, stage) {
        const { image, label } = batch.views?.[0] ?? batch
        const upright = () => backbone.module.forward(image) // [batch, dim]
        if (stage !== 'fit') return { embedding: upright(), label }
        const turned = backbone.module.forward(cat(quarterTurns(image), 0)) // [4 * batch, dim]
        const count = image.shape[0]
        const turns = tensor(BigInt64Array.from({ length: 4 * count }, (_, i) => BigInt(Math.floor(i / count))))
        const logits = head.forward(turned) // [4 * batch, 4]
        return {
          loss: logits.crossEntropy(turns),
          rotation_top1: noGrad(() => topKAccuracy(logits, turns, 1)),
          embedding: turned.narrow(0, 0, count), // of the upright copies: [batch, dim]
          label,
        }
      },
    }
  },
})

/** The image turned by 0, 1, 2 and 3 quarters, counter-clockwise: four tensors [batch, channel, size, size]. */
function quarterTurns(image) {
  const quarter = (turned) => turned.transpose(2, 3).flip([2])
  const first = quarter(image)
  const second = quarter(first)
  return [image, first, second, quarter(second)]
}
