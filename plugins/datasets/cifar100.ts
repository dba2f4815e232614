/** CIFAR-100 in its binary version: 32x32 colour images in 100 classes of 20 kinds. */
import { resolve } from 'node:path'
import { defineDataset, existingFile, readCifar, z } from 'stable-pretraining'

export default defineDataset({
  name: 'cifar100',
  targets: ['torchvision.datasets.CIFAR100'],
  description: 'CIFAR-100, binary version.',
  paper: 'Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images',
  config: z.object({
    root: z
      .string()
      .describe('folder of train.bin and test.bin (packed, .gz, or not), or the one that holds cifar-100-binary'),
    split: z.enum(['train', 'test']).default('train').describe('which part'),
    labels: z.enum(['fine', 'coarse']).default('fine').describe('100 classes or the 20 kinds they belong to'),
  }),
  async build({ config, root }) {
    const file = `${config.split}.bin`
    const places = [file, `${file}.gz`].flatMap((name) => [name, `cifar-100-binary/${name}`])
    const files = [await existingFile(resolve(root, config.root), places)]
    const fine = config.labels === 'fine'
    return readCifar({
      files,
      labelBytes: 2,
      labelByte: fine ? 1 : 0,
      classes: fine ? fineClasses : coarseClasses,
      name: `cifar100 ${config.split}`,
    })
  },
})

// In the order of the distribution's fine_label_names.txt and coarse_label_names.txt.
const fineClasses = words(`
  apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
  caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
  forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
  mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
  possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
  sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
  willow_tree wolf woman worm`)

const coarseClasses = words(`
  aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices household_furniture
  insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes large_omnivores_and_herbivores
  medium_mammals non-insect_invertebrates people reptiles small_mammals trees vehicles_1 vehicles_2`)

function words(text: string): string[] {
  return text.trim().split(/\s+/)
}
