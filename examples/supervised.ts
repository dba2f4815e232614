/** The yardstick on photos of flowers, a network that is told their labels: npx tsx examples/supervised.ts [steps] */
import { createModule, DataModule, ImageFolderDataset, Manager, manualSeed, nn, Trainer } from 'stable-pretraining'
import { ConsoleLogger, evaluationView, maeView, OnlineKNN } from 'stable-pretraining/plugins'

manualSeed(0) // decides the weights
const flowers = (split: string) => ImageFolderDataset.open(new URL(`data/flowers/${split}`, import.meta.url).pathname)
const look = { size: 32, statistics: 'ImageNet' }
const data = new DataModule({
  train: { dataset: await flowers('train'), batchSize: 128, shuffle: true, dropLast: true, transform: maeView(look) },
  val: { dataset: await flowers('val'), batchSize: 125, transform: evaluationView(look) },
})
const module = await createModule('supervised', {
  backbone: nn.resnet18(),
  numClasses: 5,
  optim: { optimizer: { type: 'AdamW', lr: 1e-3, weightDecay: 0.05 }, scheduler: 'LinearWarmupCosineAnnealing' },
})
const trainer = new Trainer({
  maxEpochs: 12,
  maxSteps: Number(process.argv[2] ?? -1),
  logger: new ConsoleLogger(),
  callbacks: [new OnlineKNN({ name: 'knn', queueLength: 5000, numClasses: 5 })],
})
const { metrics, checkpoint } = await new Manager({ trainer, module, data, seed: 0 }).run()
console.log(metrics, checkpoint)
