/** Mean and standard deviation of well-known data sets, a value a channel, for images scaled to [0, 1]. */
import { SptError } from '../errors.js'

export interface Statistics {
  readonly mean: readonly number[]
  readonly std: readonly number[]
}

const imageNet: Statistics = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }
const faces: Statistics = { mean: [0.5063, 0.4258, 0.3832], std: [0.2654, 0.2453, 0.2412] }
const videos: Statistics = { mean: [0.43216, 0.394666, 0.37645], std: [0.22803, 0.22145, 0.216989] }

/** The values of stable-pretraining's `data.static`, which uses ImageNet's for several sets of photos. */
export const datasetStatistics: { readonly [name: string]: Statistics } = {
  CIFAR10: { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
  CIFAR100: { mean: [0.5071, 0.4867, 0.4408], std: [0.2675, 0.2565, 0.2761] },
  ImageNet: imageNet,
  Caltech256: imageNet,
  OxfordPet: imageNet,
  SUN397: imageNet,
  Places365: imageNet,
  COCO: imageNet,
  PascalVOC: imageNet,
  ADE20K: imageNet,
  NYUDepthV2: imageNet,
  MNIST: { mean: [0.1307], std: [0.3081] },
  FashionMNIST: { mean: [0.286], std: [0.353] },
  STL10: { mean: [0.4467, 0.4398, 0.4066], std: [0.2603, 0.2566, 0.2713] },
  SVHN: { mean: [0.4377, 0.4438, 0.4728], std: [0.198, 0.201, 0.197] },
  Food101: { mean: [0.5459, 0.4448, 0.3468], std: [0.2761, 0.2691, 0.2821] },
  OxfordFlowers: { mean: [0.434, 0.385, 0.296], std: [0.292, 0.263, 0.272] },
  CelebA: faces,
  LFW: faces,
  TinyImageNet: { mean: [0.4802, 0.4481, 0.3975], std: [0.2302, 0.2265, 0.2262] },
  UCF101: videos,
  Kinetics400: videos,
  Cityscapes: { mean: [0.28689554, 0.32513303, 0.28389177], std: [0.18696375, 0.19017339, 0.18720214] },
  CamVid: { mean: [0.390687, 0.405213, 0.414304], std: [0.29652, 0.305149, 0.300803] },
}

/** Statistics by name; case, hyphens and underscores do not matter. ERR_ARGUMENT for a name not in the table. */
export function statisticsOf(name: string): Statistics {
  const wanted = plain(name)
  const found = Object.entries(datasetStatistics).find(([known]) => plain(known) === wanted)
  if (found === undefined) {
    throw new SptError('ERR_ARGUMENT', `no statistics are known for a data set named "${name}"`, {
      hint: `Known: ${Object.keys(datasetStatistics).join(', ')}. Or give mean and std.`,
    })
  }
  return found[1]
}

const plain = (name: string) => name.toLowerCase().replace(/[-_ ]/g, '')
