/** CIFAR-10 in its binary version: 32x32 colour images in ten classes. */
import { resolve } from 'node:path'
import { defineDataset, existingFile, readCifar, z } from 'stable-pretraining'

const classes = ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck']

const splits = { train: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}.bin`), test: ['test_batch.bin'] }

export default defineDataset({
  name: 'cifar10',
  targets: ['torchvision.datasets.CIFAR10'],
  description: 'CIFAR-10, binary version.',
  paper: 'Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images',
  config: z.object({
    root: z
      .string()
      .describe(
        'folder of data_batch_1.bin ... test_batch.bin (packed, .gz, or not), or the one that holds cifar-10-batches-bin',
      ),
    split: z.enum(['train', 'test']).default('train').describe('which part'),
    files: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('instead of split: the files to read, where only some are at hand'),
  }),
  async build({ config, root }) {
    const folder = resolve(root, config.root)
    const names = config.files ?? splits[config.split]
    const places = (name: string) => [name, `${name}.gz`].flatMap((file) => [file, `cifar-10-batches-bin/${file}`])
    const files = await Promise.all(names.map((name) => existingFile(folder, places(name))))
    return readCifar({
      files,
      labelBytes: 1,
      labelByte: 0,
      classes,
      name: `cifar10 ${config.files === undefined ? config.split : 'part'}`,
    })
  },
})
