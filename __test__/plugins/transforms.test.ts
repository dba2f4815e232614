/** Every built-in transform: which steps its options become, and which options it refuses. */
import { describe, expect, test } from 'vitest'
import { type MultiView, type Transform, isMultiView } from '../../src/data/transform.js'
import { build, problemsOf } from './build.js'

const transform = async (value: unknown) => (await build('transform', value, {})) as MultiView | Transform

async function steps(value: unknown): Promise<Transform['steps']> {
  const built = await transform(value)
  if (isMultiView(built)) throw new Error('several views')
  return built.steps
}

describe('options become steps, with the defaults of torchvision and stable-pretraining', () => {
  const rrc = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3], interpolation: 'bilinear', antialias: true }
  const none = { brightness: null, contrast: null, saturation: null, hue: null, p: 1 }

  test.each([
    [{ type: 'center-crop', size: 24 }, { size: [24, 24] }],
    [
      { type: 'resize', size: 32 },
      { size: 32, interpolation: 'bilinear', antialias: true },
    ],
    [
      { type: 'resize', size: [20, 30], max_size: 40, interpolation: 3, antialias: false },
      { size: [20, 30], interpolation: 'bicubic', antialias: false, maxSize: 40 },
    ],
    [
      { type: 'random-crop', size: [28, 32], padding: 4 },
      { size: [28, 32], padding: [4, 4, 4, 4], padIfNeeded: false, fill: 0, paddingMode: 'constant' },
    ],
    [
      { type: 'random-crop', size: 8, padding: [1, 2], pad_if_needed: true, fill: 9, padding_mode: 'reflect' },
      { size: [8, 8], padding: [1, 2, 1, 2], padIfNeeded: true, fill: 9, paddingMode: 'reflect' },
    ],
    [
      { type: 'random-resized-crop', size: 32 },
      { size: [32, 32], ...rrc },
    ],
    [{ type: 'random-horizontal-flip' }, { p: 0.5 }],
    [{ type: 'random-vertical-flip', p: 0.25 }, { p: 0.25 }],
    [{ type: 'random-grayscale' }, { p: 0.1 }],
    [
      { type: 'random-solarize', threshold: 100, p: 0.2 },
      { threshold: 100, p: 0.2 },
    ],
    [
      { type: 'gaussian-blur', kernel_size: 3 },
      { kernelSize: [3, 3], sigma: [0.1, 2], p: 1 },
    ],
    [
      { type: 'gaussian-blur', kernel_size: [3, 5], sigma: 1.5, p: 0.5 },
      { kernelSize: [3, 5], sigma: [1.5, 1.5], p: 0.5 },
    ],
    [
      { type: 'color-jitter', brightness: 0.25, contrast: 1.5, saturation: [0.5, 0.75], hue: 0.1, p: 0.8 },
      { brightness: [0.75, 1.25], contrast: [0, 2.5], saturation: [0.5, 0.75], hue: [-0.1, 0.1], p: 0.8 },
    ],
    [{ type: 'color-jitter', contrast: 0 }, none],
    [{ type: 'random-invert' }, { p: 0.5 }],
    [{ type: 'random-equalize' }, { p: 0.5 }],
    [{ type: 'random-autocontrast', p: 0.1 }, { p: 0.1 }],
    [
      { type: 'random-posterize', bits: 4 },
      { bits: 4, p: 0.5 },
    ],
    [
      { type: 'random-adjust-sharpness', sharpness_factor: 2 },
      { sharpnessFactor: 2, p: 0.5 },
    ],
    [{ type: 'pil-gaussian-blur' }, { sigma: [0.1, 2], p: 1 }],
    [{ type: 'gaussian-noise' }, { mean: 0, sigma: 0.1, clip: true, p: 0.5 }],
    [
      { type: 'additive-gaussian', sigma: 0.2 },
      { sigma: 0.2, p: 1 },
    ],
    [{ type: 'random-erasing' }, { scale: [0.02, 0.33], ratio: [0.3, 3.3], value: [0], p: 0.5 }],
    [
      { type: 'random-erasing', value: 'random' },
      { scale: [0.02, 0.33], ratio: [0.3, 3.3], value: null, p: 0.5 },
    ],
    [
      { type: 'random-rotation', degrees: 30 },
      { degrees: [-30, 30], interpolation: 'nearest', expand: false, center: null, fill: [0] },
    ],
    [
      { type: 'random-affine', degrees: 5, shear: [1, 2], fill: [1, 2, 3], interpolation: 2 },
      {
        degrees: [-5, 5],
        translate: null,
        scale: null,
        shear: [1, 2, 0, 0],
        interpolation: 'bilinear',
        fill: [1, 2, 3],
        center: null,
      },
    ],
    [{ type: 'random-perspective' }, { distortionScale: 0.5, interpolation: 'bilinear', fill: [0], p: 0.5 }],
    [{ type: 'random-channel-permutation' }, {}],
    [
      { type: 'pad', padding: [1, 2] },
      { padding: [1, 2, 1, 2], fill: 0, paddingMode: 'constant' },
    ],
    [
      { type: 'random-invert', source: 'views.0.image' },
      { p: 0.5, source: 'views.0.image', target: 'views.0.image' },
    ],
    [
      { type: 'random-invert', source: ['a', 'b'], target: ['c', 'd'] },
      { p: 0.5, source: ['a', 'b'], target: ['c', 'd'] },
    ],
    [
      { type: 'normalize', mean: [0.5], std: [0.25] },
      { mean: [0.5], std: [0.25] },
    ],
  ])('%j', async (value, step) => {
    expect(await steps(value)).toEqual([{ type: value.type, ...step }])
  })

  test('to-image makes floats for what follows', async () => {
    expect(await steps('to-image')).toEqual([{ type: 'to-image' }])
    const [, normalize] = await steps({ type: 'to-image', statistics: 'fashion-mnist' })
    expect(normalize).toEqual({ type: 'normalize', mean: [0.286], std: [0.353] })
  })

  test('names of torchvision and stable-pretraining', async () => {
    const crop = await steps({ _target_: 'torchvision.transforms.v2.CenterCrop', size: 8 })
    expect(crop).toEqual([{ type: 'center-crop', size: [8, 8] }])
    const solarize = { _target_: 'stable_pretraining.data.transforms.RandomSolarize', threshold: 128, p: 0.2 }
    expect(await steps(solarize)).toEqual([{ type: 'random-solarize', threshold: 128, p: 0.2 }])
  })
})

describe('several views', () => {
  const flip = { type: 'random-horizontal-flip', p: 1 }
  const views = async (value: object) => ((await transform({ type: 'multi-view', ...value })) as MultiView).views

  test('a list', async () => {
    expect(await views({ views: [['random-grayscale', flip], flip] })).toEqual([
      { steps: [{ type: 'random-grayscale', p: 0.1 }, flip] },
      { steps: [flip] },
    ])
  })

  test('by name', async () => {
    const named = await views({ views: { student: [flip], teacher: [] } })
    expect(named).toEqual({ student: { steps: [flip] }, teacher: { steps: [] } })
  })

  test('copies of the same steps', async () => {
    expect(await views({ copies: 3, steps: [flip] })).toEqual([{ steps: [flip] }, { steps: [flip] }, { steps: [flip] }])
  })

  test.each([
    [{}, 'expected either views, or copies and steps'],
    [{ views: [flip], copies: 2 }, 'expected either views, or copies and steps'],
  ])('%j is refused', async (value, message) => {
    await expect(views(value)).rejects.toMatchObject({
      code: 'ERR_ARGUMENT',
      message: expect.stringContaining(message),
    })
  })
})

describe('recipes', () => {
  const simclr = async (value: object) =>
    ((await transform({ type: 'simclr', ...value })) as MultiView).views as readonly Transform[]
  const small = ['random-resized-crop', 'random-horizontal-flip', 'color-jitter', 'random-grayscale']

  test('simclr: the paper at 224 pixels and strength 1', async () => {
    const [first, second, ...others] = await simclr({ size: 224, strength: 1, statistics: 'ImageNet' })
    expect(others).toEqual([])
    expect(second).toEqual(first)
    expect(first?.steps.map((step) => step.type)).toEqual([...small, 'gaussian-blur', 'normalize'])
    expect(first?.steps[2]).toMatchObject({ hue: [-0.2, 0.2], p: 0.8, saturation: [expect.closeTo(0.2), 1.8] })
    expect(first?.steps[4]).toMatchObject({ kernelSize: [23, 23], sigma: [0.1, 2], p: 0.5 })
  })

  test('simclr: small images are not blurred, and jittered by 0.4 as in stable-pretraining', async () => {
    const views = await simclr({ size: 32, copies: 3 })
    expect(views).toHaveLength(3)
    expect(views[0]?.steps.map((step) => step.type)).toEqual(small)
    expect(views[0]?.steps[2]).toMatchObject({ brightness: [0.6, 1.4], hue: [-0.1, 0.1] })
  })

  test('byol: the second view is blurred less and solarised; small images are not blurred', async () => {
    const two = async (value: object) =>
      ((await transform({ ...value })) as MultiView).views as readonly [Transform, Transform]
    const [first, second] = await two({ type: 'byol', size: 224 })
    const crop = { size: [224, 224], scale: [0.08, 1], interpolation: 'bicubic' }
    const jitter = { brightness: [0.6, 1.4], contrast: [0.6, 1.4], saturation: [0.8, 1.2], hue: [-0.1, 0.1], p: 0.8 }
    expect(first.steps).toMatchObject([crop, { p: 0.5 }, jitter, { p: 0.2 }, { kernelSize: [23, 23], p: 1 }])
    expect(second.steps.slice(4)).toMatchObject([
      { kernelSize: [23, 23], p: 0.1 },
      { threshold: 128, p: 0.2 },
    ])
    expect((await two({ type: 'vicreg', size: 32 })).map(({ steps }) => steps.at(-1)?.type)).toEqual([
      'random-grayscale',
      'random-solarize',
    ])
    const given = await two({ type: 'barlow-twins', size: 32, blur: [0, 1], solarize: [0, 0], statistics: 'CIFAR10' })
    expect(given.map(({ steps }) => steps.slice(4).map(({ type }) => type))).toEqual([
      ['normalize'],
      ['gaussian-blur', 'normalize'],
    ])
  })

  test('moco-v2 and w-mse: larger crops, a stronger jitter, both views alike', async () => {
    const two = async (type: string) =>
      ((await transform({ type, size: 96 })) as MultiView).views as readonly Transform[]
    const [first, second] = await two('simsiam')
    expect(second).toEqual(first)
    expect(first?.steps[0]).toMatchObject({ scale: [0.2, 1], interpolation: 'bilinear' })
    expect(first?.steps[2]).toMatchObject({ saturation: [0.6, 1.4], p: 0.8 })
    expect(first?.steps[4]).toMatchObject({ type: 'gaussian-blur', p: 0.5 })
    const [white] = await two('w-mse')
    expect(white?.steps.slice(3)).toEqual([{ type: 'random-grayscale', p: 0.1 }])
  })

  test('lejepa: two large crops and six small ones, alike but for size and scale', async () => {
    const { views } = (await transform({ type: 'lejepa', size: 224 })) as MultiView
    const crops = views as Record<string, Transform>
    expect(Object.keys(crops)).toEqual(['global_1', 'global_2', ...[1, 2, 3, 4, 5, 6].map((i) => `local_${i}`)])
    expect(crops['global_2']?.steps[0]).toMatchObject({ size: [224, 224], scale: [0.3, 1] })
    expect(crops['local_6']?.steps[0]).toMatchObject({ size: [96, 96], scale: [0.05, 0.3] })
    expect(crops['global_1']?.steps.slice(4)).toMatchObject([{ p: 0.5 }, { type: 'random-solarize', p: 0.2 }])
  })

  test('evaluation: 256 to 224, or as told', async () => {
    expect(await steps({ type: 'evaluation', size: 224 })).toEqual([
      { type: 'resize', size: 256, interpolation: 'bilinear', antialias: true },
      { type: 'center-crop', size: [224, 224] },
    ])
    expect(await steps({ type: 'evaluation', size: 32, resize: 32, statistics: 'CIFAR10' })).toMatchObject([
      { size: 32 },
      { size: [32, 32] },
      { mean: [0.4914, 0.4822, 0.4465] },
    ])
  })
})

describe('bad options are refused with their place', () => {
  test.each([
    [{ type: 'gaussian-blur', kernel_size: 4 }, /^kernel_size: .*odd/],
    [{ type: 'random-horizontal-flip', p: 1.5 }, /^p: /],
    [{ type: 'color-jitter', hue: 0.7 }, /^hue: /],
    [{ type: 'resize' }, /^size: /],
    [{ type: 'resize', size: 32, interpolation: 'lanczos' }, /^interpolation: /],
    [{ type: 'center-crop', size: 0 }, /^size: /],
    [{ type: 'random-crop', size: 3, pading: 3 }, /pading/],
    [{ type: 'to-image', dtype: 'float16' }, /^dtype: /],
  ])('%j', (value, message) => {
    expect(problemsOf('transform', value).join('\n')).toMatch(message)
  })

  test.each([
    {},
    { mean: [1] },
    { mean: [1, 2], std: [1] },
    { mean: [1], std: [1], statistics: 'MNIST' },
    { statistics: 'unheard-of' },
  ])('normalize %j', async (options) => {
    await expect(transform({ type: 'normalize', ...options })).rejects.toMatchObject({ code: 'ERR_ARGUMENT' })
  })
})
