/** A pass of the loader over pictures in memory with the augmentation of SimCLR; JPEG files are decoded on the way. */
import * as sp from 'stable-pretraining'
import { imagesOf, type Case } from '../harness/cases.js'
import type { Setting } from '../harness/options.js'
import { passOf } from './pass.js'
import { photos, smallCount, smallPictures, smallSide } from './pictures.js'
import type { Work } from './program.js'

export function augmentation(work: Case & { kind: 'augment' }, { threads }: Setting): Work {
  const small = work.pictures === 'cifar'
  const length = imagesOf(work) ?? 0
  const loader = new sp.DataLoader({
    dataset: { name: work.name, length, get: small ? smallSource() : photoSource() },
    batchSize: 128,
    numWorkers: threads,
    transform: { steps: steps(small ? 32 : 224, small ? 3 : 23) },
  })
  return passOf(loader, work.name, length)
}

function smallSource(): (index: number) => sp.Sample {
  const { pixels } = smallPictures()
  const bytes = smallSide * smallSide * 3
  return (index) => ({
    image: { pixels, offset: (index % smallCount) * bytes, width: smallSide, height: smallSide, channels: 3 },
    index,
  })
}

function photoSource(): (index: number) => sp.Sample {
  const files = photos()
  return (index) => ({ image: { encoded: files[index % files.length]! }, index })
}

/** Crop, flip, jitter, grey, blur, solarize, normalise; `kernel` is the width of the blur in pixels. */
function steps(size: number, kernel: number): sp.Step[] {
  return [
    {
      type: 'random-resized-crop',
      size: [size, size],
      scale: [0.2, 1],
      ratio: [3 / 4, 4 / 3],
      interpolation: 'bilinear',
      antialias: true,
    },
    { type: 'random-horizontal-flip', p: 0.5 },
    {
      type: 'color-jitter',
      brightness: [0.6, 1.4],
      contrast: [0.6, 1.4],
      saturation: [0.6, 1.4],
      hue: [-0.1, 0.1],
      p: 0.8,
    },
    { type: 'random-grayscale', p: 0.2 },
    { type: 'gaussian-blur', kernelSize: [kernel, kernel], sigma: [0.1, 2], p: 0.5 },
    { type: 'random-solarize', threshold: 128, p: 0.1 },
    { type: 'normalize', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  ]
}
