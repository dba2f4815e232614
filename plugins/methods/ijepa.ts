/**
 * I-JEPA: from a part of an image, predict what a teacher makes of the other parts (Assran et al. 2023, arXiv:2301.08243).
 * As in the PyTorch library the targets are predicted together, not block by block; not as there, the embedding is one
 * vector an image, the mean of its patches, from the same network in training and in evaluation. A class token, which the paper's
 * networks lack, may be there: predictor and embedding leave it out.
 */
import { defineMethod, generatorOfBatch, imagesOf, nn, onesLike, smoothL1Loss } from 'stable-pretraining'
import {
  emaOf,
  emaOptions,
  TeacherStudentWrapper,
  updateTeachers,
  z,
  zeros,
  type Batch,
  type Tensor,
} from 'stable-pretraining'

const range = z.tuple([z.number().positive(), z.number().positive()])

export default defineMethod({
  name: 'ijepa',
  targets: ['stable_pretraining.methods.IJEPA', 'stable_pretraining.IJEPA'],
  description: 'Predicts the teacher’s view of hidden blocks from a visible one. Vision transformers only.',
  paper: 'Assran et al. 2023, arXiv:2301.08243',
  family: 'masked image modelling',
  needs: { views: 1, backbone: 'vision transformer' },
  recipe: 'ijepa',
  evidence: 'probe',
  config: z.object({
    predictorEmbedDim: z.int().positive().default(384).describe('width of the predictor'),
    predictorDepth: z.int().positive().default(6).describe('blocks of the predictor'),
    predictorNumHeads: z.int().positive().optional().describe('its attention heads; by default one for 64 dimensions'),
    numTargets: z.int().positive().default(4).describe('blocks that are predicted'),
    targetScale: range.default([0.15, 0.2]).describe('share of the image a target block covers'),
    targetAspectRatio: range.default([0.75, 1.5]).describe('height / width of a target block'),
    contextScale: range.default([0.85, 1]).describe('share of the image (of the patches outside targets) that is seen'),
    context: z
      .enum(['block', 'scattered'])
      .default('block')
      .describe(
        'what is seen: a block without the targets, or patches outside them at random, as in the PyTorch library',
      ),
    ...emaOptions(0.996, 1),
    embeddingSource: z
      .enum(['teacher', 'student'])
      .default('teacher')
      .describe('whose mean of patches is the embedding'),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'ijepa', 'it sees and predicts some of the patches only')
    const { predictorEmbedDim: width, predictorDepth: depth } = config
    const gridSize = vit.patchEmbed.defaultGrid
    const predictor = new nn.FlexibleTransformer({
      inputDim: vit.dim,
      hiddenDim: width,
      outputDim: vit.dim,
      numPatches: gridSize[0] * gridSize[1],
      gridSize,
      depth,
      numHeads: config.predictorNumHeads ?? Math.max(1, Math.round(width / 64)),
      crossAttn: false,
      useAdaln: false,
      numPrefixTokens: 0,
      addMaskToken: true,
      zeroInitOutput: false,
    })
    nn.init.scaleResiduals_(predictor.blocks)
    if (!nn.isPretrained(vit)) nn.init.scaleResiduals_(vit.blocks)
    const encoder = new TeacherStudentWrapper(new nn.MaskedEncoder(vit), emaOf(config))
    const draw = config.context === 'block' ? nn.multiBlockMasking : nn.ijepaMasking
    const meanOfStudent = (image: Tensor): Tensor =>
      nn.inEvaluation(encoder.student, () => encoder.forwardStudent(image).mean)
    return {
      modules: { encoder, predictor },
      forward(batch: Batch, stage, progress) {
        const { image, ...label } = imagesOf(batch, 'ijepa')
        const ofStudent = config.embeddingSource === 'student'
        if (stage !== 'fit' && ofStudent) return { embedding: meanOfStudent(image), ...label }
        const whole = encoder.forwardTeacher(image)
        const embedding = ofStudent ? meanOfStudent(image) : whole.mean // [batch, dim]
        if (stage !== 'fit') return { embedding, ...label }
        const generator = generatorOfBatch(seed, progress.batch)
        const { contextIdx, targetIdx } =
          masksIn(batch) ?? draw({ ...config, generator })(image.shape[0] ?? 0, gridSize)
        const goal = nn.takeTokens(vit.patchesOf(whole.encoded).layerNorm([vit.dim]), targetIdx) // [batch, targets, dim]
        const context = vit.patchesOf(encoder.forwardStudent(image, { idsKeep: contextIdx }).encoded)
        const prediction = predictor.forward(context, {
          queries: zeros(goal.shape),
          queryMask: onesLike(targetIdx).to('bool'),
          contextIdx,
          queryIdx: targetIdx,
        })
        return { loss: smoothL1Loss(prediction, goal), embedding, ...label }
      },
      afterStep: (step, progress) => updateTeachers([encoder], step, progress, config.emaInterval),
    }
  },
})

/** Places of seen and of predicted patches, int64 [batch, n], where the data brings them. */
function masksIn(batch: Batch): { contextIdx: Tensor; targetIdx: Tensor } | undefined {
  const { contextIdx, targetIdx } = batch as { contextIdx?: Tensor; targetIdx?: Tensor }
  return contextIdx && targetIdx && { contextIdx, targetIdx }
}
