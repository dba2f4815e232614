/**
 * A map of the embedding: a small network, trained alongside, that lays the newest training embeddings out in two
 * dimensions so that neighbours stay neighbours (the noise-contrastive form of t-SNE and UMAP, Damrich et al. 2023,
 * arXiv:2206.01816). Written as a picture and as numbers; nothing of it reaches the backbone.
 */
import {
  AdamW,
  defineCallback,
  Generator,
  nn,
  noGrad,
  randint,
  scope,
  writeFileAtomically,
  writeNpz,
  z,
} from 'stable-pretraining'
import type { Callback, OptimizerEntry, Tensor, Trainer } from 'stable-pretraining'
import { scatter } from './pictures/scatter.js'
import { picturePath } from './pictures/sheet.js'

export interface LatentVizOptions {
  name: string
  /** Width of the embedding. */
  inputDim: number
  input?: string
  target?: string
  queueLength?: number
  /** Nearest rows that attract each row, and random rows that repel for each of them. */
  kNeighbors?: number
  nNegatives?: number
  hidden?: number
  lr?: number
  /** Steps between two updates of the map. */
  updateInterval?: number
  /** Epochs between two pictures. */
  plotInterval?: number
}

export class LatentViz implements Callback {
  readonly name: string
  readonly modules: Record<string, nn.Layer>
  optimizers: Record<string, OptimizerEntry> = {}
  readonly #options: Required<LatentVizOptions>
  readonly #projection: nn.Sequential

  constructor(options: LatentVizOptions) {
    this.name = options.name
    const defaults = { input: 'embedding', target: 'label', queueLength: 1024, kNeighbors: 15, nNegatives: 5 }
    this.#options = { ...defaults, hidden: 64, lr: 1e-2, updateInterval: 5, plotInterval: 1, ...options }
    const { inputDim, hidden } = this.#options
    this.#projection = new nn.Sequential(new nn.Linear(inputDim, hidden), new nn.ReLU(), new nn.Linear(hidden, 2))
    this.modules = { [this.name]: this.#projection }
  }

  setup(trainer: Trainer): void {
    const { input, target, queueLength } = this.#options
    trainer.queue(input, queueLength)
    trainer.queue(target, queueLength)
    const optimizer = new AdamW([...this.#projection.parameters()], { lr: this.#options.lr, weightDecay: 1e-2 })
    // Its steps are its own: it has no part in the loss of the batch.
    this.optimizers = { [this.name]: { name: this.name, optimizer, frequency: 1 } }
  }

  onTrainBatchEnd({ trainer }: { trainer: unknown }): void {
    const run = trainer as Trainer
    const { input, queueLength, kNeighbors, updateInterval } = this.#options
    const queue = run.queue(input, queueLength)
    if (run.globalStep % updateInterval !== 0 || queue.length <= kNeighbors + 1) return
    const { optimizer } = this.optimizers[this.name]!
    scope(() => {
      // Numbers of its own: the run draws what it would draw without this callback.
      const [attraction, repulsion] = this.#losses(queue.newest(queueLength), new Generator(run.globalStep))
      const loss = attraction.add(repulsion)
      loss.backward()
      optimizer.step()
      optimizer.zeroGrad()
      run.log(`train/${this.name}_loss`, loss)
      run.log(`train/${this.name}_attraction_loss`, attraction)
      run.log(`train/${this.name}_repulsion_loss`, repulsion)
    })
  }

  /** Mean of −log q over neighbours and of −log(1 − q) over random pairs, q = s / (s + 1), s = 1 / (1 + distance²). */
  #losses(rows: Tensor, generator: Generator): [attraction: Tensor, repulsion: Tensor] {
    const { kNeighbors, nNegatives } = this.#options
    const count = rows.shape[0]!
    const near = noGrad(() => {
      const [, indices] = rows.nearest(rows, kNeighbors + 1)
      return indices.narrow(1, 1, kNeighbors).reshape([count * kNeighbors]) // without the row itself
    })
    const places = this.#projection.forward(rows.detach()) // [rows, 2]
    const squared = (others: Tensor, each: number): Tensor =>
      places
        .unsqueeze(1)
        .sub(places.indexSelect(0, others).reshape([count, each, 2]))
        .square()
        .sum(-1)
    const attraction = squared(near, kNeighbors)
    const repulsion = squared(
      randint(0, count, [count * kNeighbors * nNegatives], { generator }),
      kNeighbors * nNegatives,
    )
    // q = 1 / (2 + d²), so −log q = log(2 + d²) and −log(1 − q) = log(2 + d²) − log(1 + d²).
    const repelled = repulsion.add(2).log().sub(repulsion.add(1).log())
    return [attraction.add(2).log().mean(), repelled.mean()]
  }

  async onTrainEpochEnd(trainer: Trainer): Promise<void> {
    const { input, target, queueLength, plotInterval } = this.#options
    const queue = trainer.queue(input, queueLength)
    const last = trainer.currentEpoch + 1 >= trainer.options.maxEpochs
    const due = last || (trainer.currentEpoch + 1) % plotInterval === 0
    if (!due || queue.length === 0 || trainer.runDirectory === undefined) return
    const name = await picturePath(trainer, this.name)
    await scope(async () => {
      const coordinates = noGrad(() => this.#projection.forward(queue.newest(queueLength)))
      const labels = trainer.queue(target, queueLength).newest(queueLength)
      await writeNpz(`${name}.npz`, { coordinates, labels })
      const points = (await coordinates.contiguous().data()) as Float32Array
      const classes = Array.from(await labels.data(), Number)
      await writeFileAtomically(`${name}.png`, scatter(points, classes))
    })
  }
}

export default defineCallback({
  name: 'latent-viz',
  aliases: ['LatentViz'],
  targets: ['stable_pretraining.callbacks.LatentViz'],
  description: 'A two-dimensional map of the embedding that keeps neighbours together, as a picture an epoch.',
  paper: 'Damrich et al. 2023, arXiv:2206.01816',
  config: z.object({
    name: z.string().min(1).default('latent_viz').describe('folder of its pictures, in pictures/ of the run'),
    input: z.string().default('embedding').describe('key of the embedding'),
    target: z.string().default('label').describe('key of the class numbers, for colours'),
    inputDim: z.int().positive().optional().describe('width of the embedding; the backbone’s where absent'),
    queueLength: z.int().min(2).default(1024).describe('newest training rows that are on the map'),
    kNeighbors: z.int().positive().default(15).describe('nearest rows that attract each row'),
    nNegatives: z.int().positive().default(5).describe('random rows that repel, for each neighbour'),
    hidden: z.int().positive().default(64).describe('hidden width of the projection'),
    lr: z.number().positive().default(1e-2).describe('learning rate of its AdamW'),
    updateInterval: z.int().positive().default(5).describe('steps between two updates'),
    plotInterval: z.int().positive().default(1).describe('epochs between two pictures'),
  }),
  build: ({ backbone, config }) => new LatentViz({ ...config, inputDim: config.inputDim ?? backbone.dim }),
})
