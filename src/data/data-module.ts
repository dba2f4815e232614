/** The data of a run: what it trains on, validates on, tests on. Each part is a loader, or what a loader is made from. */
import { SptError, argumentInvalid } from '../errors.js'
import { type BatchSource, DataLoader, type DataLoaderOptions } from './data-loader.js'

/** A loader of ours, any other source of batches, or the options of a `DataLoader`. */
export type DataPart = BatchSource | DataLoaderOptions

export interface DataModuleOptions {
  readonly train?: DataPart
  readonly val?: DataPart
  readonly test?: DataPart
  readonly predict?: DataPart
}

const parts = ['train', 'val', 'test', 'predict'] as const

export class DataModule {
  readonly train?: BatchSource
  readonly val?: BatchSource
  readonly test?: BatchSource
  readonly predict?: BatchSource

  /** ERR_ARGUMENT where no part is given or a key is unknown. */
  constructor(options: DataModuleOptions) {
    const unknown = Object.keys(options).filter((key) => !(parts as readonly string[]).includes(key))
    if (unknown.length > 0) throw argumentInvalid('DataModule', `only ${parts.join(', ')}`, unknown)
    if (parts.every((part) => options[part] === undefined)) {
      throw new SptError('ERR_ARGUMENT', `DataModule: expected at least one of ${parts.join(', ')}, got none`)
    }
    if (options.train !== undefined) this.train = loaderOf(options.train, 'train')
    if (options.val !== undefined) this.val = loaderOf(options.val, 'val')
    if (options.test !== undefined) this.test = loaderOf(options.test, 'test')
    if (options.predict !== undefined) this.predict = loaderOf(options.predict, 'predict')
  }

  /** Class names, of the first part that knows them. */
  get classes(): readonly string[] | undefined {
    return this.#loaders().find((loader) => loader.dataset.classes !== undefined)?.dataset.classes
  }

  /** The seed of the run, for every loader that was given none. */
  setSeed(seed: number): void {
    for (const loader of this.#loaders()) loader.setSeed(seed)
  }

  /** Stops what is being loaded and frees what was made ahead. */
  async dispose(): Promise<void> {
    await Promise.all(this.#loaders().map((loader) => loader.dispose()))
  }

  #loaders(): DataLoader[] {
    return parts.map((part) => this[part]).filter((source) => source instanceof DataLoader)
  }
}

const loaderKeys: { readonly [key in keyof Required<DataLoaderOptions>]: true } = {
  dataset: true,
  batchSize: true,
  shuffle: true,
  sampler: true,
  batchSampler: true,
  dropLast: true,
  numWorkers: true,
  prefetch: true,
  prefetchBytes: true,
  transform: true,
  batchTransform: true,
  collate: true,
  onError: true,
  maxErrors: true,
  seed: true,
}

function loaderOf(part: DataPart, name: string): BatchSource {
  if (Symbol.asyncIterator in part) return part
  const unknown = Object.keys(part).filter((key) => !(key in loaderKeys))
  if (unknown.length > 0)
    throw argumentInvalid(`DataModule ${name}`, `only ${Object.keys(loaderKeys).join(', ')}`, unknown)
  if (part.dataset === undefined) throw argumentInvalid(`DataModule ${name}`, 'a dataset', part)
  return new DataLoader(part)
}
