/** Clustering on photos of flowers, SwAV with crops of two sizes: npx tsx examples/swav.ts [steps] */
import { createModule, DataModule, ImageFolderDataset, Manager, manualSeed, nn, Trainer } from 'stable-pretraining'
import { swavViews, ConsoleLogger, evaluationView, OnlineKNN } from 'stable-pretraining/plugins'

manualSeed(0) // decides the weights
const flowers = (split: string) => ImageFolderDataset.open(new URL(`data/flowers/${split}`, import.meta.url).pathname)
const look = { size: 32, statistics: 'ImageNet' }
const data = new DataModule({
  train: {
    dataset: await flowers('train'),
    batchSize: 64,
    shuffle: true,
    dropLast: true,
    transform: swavViews({ ...look, localCrops: 4 }),
  },
  val: { dataset: await flowers('val'), batchSize: 125, transform: evaluationView(look) },
})
const module = await createModule(
  { type: 'swav', projectorDims: [512, 128], nPrototypes: 100 },
  {
    backbone: nn.resnet18(),
    optim: { optimizer: { type: 'AdamW', lr: 1e-3, weightDecay: 0.05 }, scheduler: 'LinearWarmupCosineAnnealing' },
  },
)
const trainer = new Trainer({
  maxEpochs: 12,
  maxSteps: Number(process.argv[2] ?? -1),
  logger: new ConsoleLogger(),
  callbacks: [new OnlineKNN({ name: 'knn', queueLength: 5000, numClasses: 5 })],
})
const { metrics, checkpoint } = await new Manager({ trainer, module, data, seed: 0 }).run()
console.log(metrics, checkpoint)
