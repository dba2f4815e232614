/**
 * The module that is trained: named networks, one `forward(batch, stage)` that returns a record, and how to optimise it.
 * It is not a layer; those are `nn.Module`, which it extends by its two holders of what callbacks add.
 */
import { argumentInvalid, SptError } from '../errors.js'
import type { Batch } from '../data/index.js'
import { Module as Network, ModuleDict } from '../nn/index.js'
import { Tensor } from '../tensor/index.js'
import type { BatchProgress, Outputs, Stage, StepProgress } from './callback.js'
import type { Optim } from './optim-config.js'

export interface ModuleOptions {
  /**
   * Called with `this` bound to the module. Must return a record; `loss` is minimised in the stage "fit". `progress` says
   * where the run stands, for schedules and for random numbers of its own.
   */
  forward?(batch: Batch, stage: Stage, progress: BatchProgress): Outputs | Promise<Outputs>
  /** Called with the number of optimizer steps done, after each: for teachers and schedules of a method. */
  afterStep?(step: number, progress: StepProgress): void | Promise<void>
  /** One optimizer, several by name pattern, null for none; absent: AdamW with a cosine over the run. */
  optim?: Optim
  /** Written to the loggers and the checkpoint. */
  hparams?: Record<string, unknown>
}

/** For a module that is called outside a run. */
const beginning: BatchProgress = { step: 0, batch: 0, epoch: 0, maxEpochs: 1, totalSteps: 0 }

export class TrainingModule extends Network<Promise<Outputs>> {
  optim: ModuleOptions['optim']
  hparams: Record<string, unknown>
  /** Networks that callbacks train: in the state dict under `callbacks_modules.<name>`, in no main optimizer. */
  callbacksModules: ModuleDict<Network<unknown>>
  readonly #forward: ModuleOptions['forward']
  readonly #afterStep: ModuleOptions['afterStep']

  constructor(options: ModuleOptions & Record<string, unknown>) {
    super()
    const { forward, afterStep, optim, hparams = {}, ...attributes } = options
    if (forward !== undefined && typeof forward !== 'function')
      throw argumentInvalid('Module: forward', 'a function', forward)
    this.#forward = forward
    this.#afterStep = afterStep
    this.optim = optim
    this.hparams = hparams
    this.callbacksModules = new ModuleDict()
    for (const [name, value] of Object.entries(attributes)) {
      if (name in this) {
        throw new SptError('ERR_ARGUMENT', `Module: "${name}" is a member of every module`, {
          hint: 'Choose another name.',
        })
      }
      ;(this as Record<string, unknown>)[name] = value
    }
  }

  /** Runs the given forward on one batch; `stage` decides what it computes. */
  async forward(batch: Batch | Tensor, stage: Stage, progress: BatchProgress = beginning): Promise<Outputs> {
    if (batch instanceof Tensor) throw argumentInvalid('Module: forward', 'a batch, as data loaders give it', batch)
    if (this.#forward === undefined) {
      throw new SptError('ERR_ARGUMENT', 'Module: it was made without a forward function', {
        hint: 'new Module({ forward(batch, stage) { … return { loss, embedding } }, backbone, … })',
      })
    }
    const outputs = await this.#forward.call(this, batch, stage, progress)
    if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs)) {
      throw new SptError(
        'ERR_ARGUMENT',
        `Module: forward must return a record, got ${outputs === null ? 'null' : typeof outputs}`,
      )
    }
    return outputs
  }

  /** Whether it was told what comes after a step. */
  get hasAfterStep(): boolean {
    return this.#afterStep !== undefined
  }

  async afterStep(step: number, progress: StepProgress): Promise<void> {
    await this.#afterStep?.call(this, step, progress)
  }
}

/** A training module with its attributes: `new Module({ forward(batch, stage) { this.backbone … }, backbone, optim })`. */
export type Module<Attributes extends object = object> = TrainingModule & Attributes

export const Module = TrainingModule as unknown as new <Attributes extends object>(
  // The mapped type makes TypeScript infer the attributes before it looks into `forward`.
  options: { [Name in keyof Attributes]: Attributes[Name] } & ModuleOptions & ThisType<TrainingModule & Attributes>,
) => Module<Omit<Attributes, keyof ModuleOptions>>
