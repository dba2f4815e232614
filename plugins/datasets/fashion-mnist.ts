/** Fashion-MNIST: 28x28 grey pictures of clothes in ten classes, in its four IDX files. */
import { resolve } from 'node:path'
import { defineDataset, existingFile, readIdxDataset, z } from 'stable-pretraining'

const classes = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
]

export default defineDataset({
  name: 'fashion-mnist',
  targets: ['torchvision.datasets.FashionMNIST'],
  description: 'Fashion-MNIST, or a part of it under the same file names.',
  paper: 'Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747',
  config: z.object({
    root: z
      .string()
      .describe('folder of train-images-idx3-ubyte, t10k-images-idx3-ubyte and their labels, packed (.gz) or not'),
    split: z.enum(['train', 'test']).default('train').describe('which part'),
  }),
  async build({ config, root }) {
    const stem = { train: 'train', test: 't10k' }[config.split]
    const file = (name: string) => existingFile(resolve(root, config.root), [name, `${name}.gz`])
    // One after the other: the file that an error names is always the first one that is missing.
    const images = await file(`${stem}-images-idx3-ubyte`)
    const labels = await file(`${stem}-labels-idx1-ubyte`)
    return readIdxDataset({ images, labels, classes, name: `fashion-mnist ${config.split}` })
  },
})
