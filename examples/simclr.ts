/** SimCLR on the photos of flowers beside this file, in a page of TypeScript: npx tsx examples/simclr.ts [steps] */
import { cat, DataModule, ImageFolderDataset, labelsOf, Manager, manualSeed, Module } from 'stable-pretraining'
import { nn, NTXEntLoss, Trainer, viewsOf, type Tensor } from 'stable-pretraining'
import { ConsoleLogger, evaluationView, OnlineKNN, OnlineProbe, simclrViews } from 'stable-pretraining/plugins'

manualSeed(0) // decides the weights
const flowers = (split: string) => ImageFolderDataset.open(new URL(`data/flowers/${split}`, import.meta.url).pathname)
const [train, val] = [await flowers('train'), await flowers('val')]
const data = new DataModule({
  train: { dataset: train, batchSize: 128, shuffle: true, dropLast: true, transform: simclrViews({ size: 64 }) },
  val: { dataset: val, batchSize: 125, transform: evaluationView({ size: 64 }) },
})
const ntXent = new NTXEntLoss({ temperature: 0.5 })
const module = new Module({
  forward(batch, stage) {
    const views = viewsOf(batch)
    const embedding = this.backbone.forward(cat(views.map(({ image }) => image))) // [views * batch, 512]
    if (stage !== 'fit') return { embedding, ...labelsOf(views) }
    const [first, second] = this.projector.forward(embedding).chunk(2) as [Tensor, Tensor]
    return { loss: ntXent.forward(first, second), embedding, ...labelsOf(views) }
  },
  backbone: nn.resnet18(),
  projector: nn.mlp([512, 512, 128]),
  optim: { optimizer: { type: 'SGD', lr: 0.06, momentum: 0.9 }, scheduler: 'LinearWarmupCosineAnnealing' },
})
const trainer = new Trainer({
  maxSteps: Number(process.argv[2] ?? 12 * 19), // 12 epochs
  logger: new ConsoleLogger(),
  callbacks: [
    new OnlineProbe({ name: 'linear_probe', probe: () => new nn.Linear(512, 5) }),
    new OnlineKNN({ name: 'knn', queueLength: 5000, numClasses: 5 }),
  ],
})
const { metrics, checkpoint } = await new Manager({ trainer, module, data, seed: 0 }).run()
console.log(metrics, checkpoint)
