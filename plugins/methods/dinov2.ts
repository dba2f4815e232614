/**
 * DINOv2: iBOT with balanced targets for images as well, and embeddings that keep their distance (Oquab et al. 2024,
 * arXiv:2304.07193). As in the PyTorch library, and not as in the paper: a fixed temperature of the teacher, and every
 * global crop has as many patches hidden at random. As in the paper, and not as there: KoLeo.
 */
import { cat, cropsOf, defineMethod, DINOv2Loss, expectCrops, forwardCrops, generatorOfBatch } from 'stable-pretraining'
import { koLeoLoss, labelsOf, nn, stack, TeacherStudentWrapper, updateTeachers, z } from 'stable-pretraining'
import type { Tensor } from 'stable-pretraining'

const share = () => z.number().min(0).max(1)

export default defineMethod({
  name: 'dinov2',
  targets: [
    'stable_pretraining.methods.DINOv2',
    'stable_pretraining.DINOv2',
    'stable_pretraining.forward.dinov2',
    'stable_pretraining.forward.dinov2_forward',
  ],
  description: 'Self-distillation of images and hidden patches, embeddings spread evenly. Vision transformers only.',
  paper: 'Oquab et al. 2024, arXiv:2304.07193',
  family: 'self-distillation',
  needs: { views: 'multi-crop', backbone: 'vision transformer' },
  recipe: 'dino',
  config: z.object({
    projectorHiddenDim: z.int().positive().default(2048).describe('width of the hidden layers of the heads'),
    projectorBottleneckDim: z.int().positive().default(256).describe('width of the unit vectors before the prototypes'),
    nPrototypes: z.int().positive().default(65536).describe('outputs of the head of images; small data needs fewer'),
    nPatchPrototypes: z.int().positive().default(8192).describe('outputs of the head of patches'),
    maskRatio: z.number().gt(0).lt(1).default(0.3).describe('share of the patches of global crops that are hidden'),
    dinoLossWeight: z.number().min(0).default(1).describe('weight of the images’ loss'),
    ibotLossWeight: z.number().min(0).default(1).describe('weight of the patches’ loss'),
    koleoWeight: z.number().min(0).default(0.1).describe('weight of keeping embeddings apart; 0: not'),
    temperatureStudent: z.number().positive().default(0.1).describe('of the student’s softmax'),
    temperatureTeacher: z.number().positive().default(0.07).describe('of the teacher’s assignments'),
    emaDecayStart: share().default(0.996).describe('share of the teacher kept at the first update'),
    emaDecayEnd: share().default(1).describe('share of the teacher kept at the last update'),
    emaInterval: z.enum(['epoch', 'step']).default('epoch').describe('how often that share moves from start to end'),
    freezeLastLayer: z.int().min(0).default(1).describe('epochs in which the prototypes stay as they are'),
    normLastLayer: z.boolean().default(false).describe('prototypes of length 1; steadier, at times less accurate'),
  }),
  build({ backbone, config, seed }) {
    const vit = nn.requireVisionTransformer(backbone.module, 'dinov2', 'a mask token takes the place of patches')
    nn.takeAnyImageSize(vit)
    const ema = { baseEmaCoefficient: config.emaDecayStart, finalEmaCoefficient: config.emaDecayEnd }
    const head = (prototypes: number): TeacherStudentWrapper => {
      const { projectorHiddenDim: hiddenDim, projectorBottleneckDim: bottleneckDim, normLastLayer } = config
      return new TeacherStudentWrapper(
        new nn.DINOHead(vit.dim, { hiddenDim, bottleneckDim, prototypes, normLastLayer }),
        ema,
      )
    }
    const network = new TeacherStudentWrapper(new nn.MaskTokenEncoder(vit), ema)
    const [projector, patchProjector] = [head(config.nPrototypes), head(config.nPatchPrototypes)]
    const { temperatureTeacher: temperature, temperatureStudent, koleoWeight } = config
    const loss = new DINOv2Loss({ ...config, studentTemp: temperatureStudent })
    return {
      modules: { backbone: network, projector, patchProjector },
      forward(batch, stage, { epoch, batch: place }) {
        const crops = cropsOf(batch)
        const { globals, locals } = crops
        const images = cat(globals.map(({ image }) => image)) // [globals * batch, channel, height, width]
        const seen = network.forwardTeacher(images)
        const known = { embedding: seen.embedding, ...labelsOf(globals) } // [globals * batch, dim]
        if (stage !== 'fit') return known
        expectCrops('dinov2', crops, 'dino')
        const [count = 0, , height = 0, width = 0] = images.shape
        const generator = generatorOfBatch(seed, place)
        const { maskRatio } = config
        const { mask, hidden } = nn.randomMask(count, vit.patchEmbed.grid(height, width), { maskRatio, generator })
        const masked = network.forwardStudent(images, { mask })
        const call = { freezeLast: epoch < config.freezeLastLayer }
        const ofLocals = forwardCrops(locals, (crop) => network.forwardStudent(crop).embedding)
        const views = masked.embedding.chunk(globals.length) // [batch, dim] each
        const scores = [...views, ...ofLocals].map((view) => projector.forwardStudent(view, call))
        const teacher = stack(projector.forwardTeacher(seen.embedding).chunk(globals.length)) // [globals, batch, prototypes]
        const targets = loss.dino.sinkhornKnoppTeacher(teacher, temperature)
        const rows = (patches: Tensor): Tensor => nn.takeTokens(patches, hidden).reshape([-1, vit.dim])
        const goals = loss.ibot.sinkhornKnoppTeacher(patchProjector.forwardTeacher(rows(seen.patches)), temperature)
        const patches = patchProjector.forwardStudent(rows(masked.patches), call)
        const total = loss.forward(stack(scores), targets, patches, goals)
        const apart = views.map((view) => koLeoLoss(view)).reduce((sum, one) => sum.add(one))
        return { loss: koleoWeight > 0 ? total.add(apart.mul(koleoWeight)) : total, koleo: apart, ...known }
      },
      afterStep: (step, progress) =>
        updateTeachers([network, projector, patchProjector], step, progress, config.emaInterval),
    }
  },
})
