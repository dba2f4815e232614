/**
 * data2vec: from a masked image, predict what a teacher's last blocks make of the whole one (Baevski et al. 2022,
 * arXiv:2202.03555). As in the PyTorch library patches are hidden one by one unless `mask_unit` says otherwise (the paper
 * hides blocks) and the teacher's momentum follows a half cosine. The embedding is the teacher's mean of patches of the
 * whole image, in training as well.
 */
import { data2vecLoss, defineMethod, generatorOfBatch, imagesOf, nn, onesLike } from 'stable-pretraining'
import { emaOf, emaOptions, TeacherStudentWrapper, updateTeachers, z, type Tensor } from 'stable-pretraining'

export default defineMethod({
  name: 'data2vec',
  targets: ['stable_pretraining.methods.Data2Vec', 'stable_pretraining.Data2Vec'],
  description: 'Predicts a teacher’s latents of hidden patches from the others. Vision transformers only.',
  paper: 'Baevski et al. 2022, arXiv:2202.03555',
  family: 'masked image modelling',
  needs: { views: 1, backbone: 'vision transformer' },
  recipe: 'mae',
  evidence: 'probe',
  config: z.object({
    topK: z
      .int()
      .positive()
      .default(6)
      .describe('last blocks of the teacher whose mean is predicted; at most its depth'),
    maskRatio: z.number().gt(0).lt(1).default(0.6).describe('share of the patches that are hidden'),
    maskUnit: z.int().positive().default(1).describe('side of the squares hidden at once, in patches'),
    beta: z.number().min(0).default(2).describe('distance from which the loss is linear'),
    ...emaOptions(0.999, 0.9999),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'data2vec', 'a mask token takes the place of patches')
    const encoder = new TeacherStudentWrapper(new nn.MaskTokenEncoder(vit), emaOf(config))
    const regressor = new nn.Linear(vit.dim, vit.dim)
    const lastBlocks = Math.min(config.topK, vit.blocks.length)
    return {
      modules: { encoder, regressor },
      forward(batch, stage, progress) {
        const { image, ...label } = imagesOf(batch, 'data2vec')
        if (stage !== 'fit') return { embedding: encoder.forwardTeacher(image).mean, ...label }
        const [count = 0, , height = 0, width = 0] = image.shape
        const { mask, hidden } = nn.randomMask(count, vit.patchEmbed.grid(height, width), {
          maskRatio: config.maskRatio,
          unit: config.maskUnit,
          generator: generatorOfBatch(seed, progress.batch),
        })
        const { blocks, mean } = encoder.forwardTeacher(image, { lastBlocks })
        const { patches } = encoder.forwardStudent(image, { mask })
        const goal = nn.takeTokens(blocks as Tensor, hidden) // [batch, hidden, dim]
        const prediction = regressor.forward(nn.takeTokens(patches, hidden))
        const all = onesLike(hidden).to('float32')
        const loss = data2vecLoss(prediction, goal, all, { beta: config.beta })
        return { loss, embedding: mean, ...label }
      },
      afterStep: (step, progress) => updateTeachers([encoder], step, progress, config.emaInterval),
    }
  },
})
