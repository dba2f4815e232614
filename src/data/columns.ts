/** The keys of samples changed on the way: renamed, removed, or given to the items of a data set that yields tuples. */
import { SptError } from '../errors.js'
import { checkIndex } from './in-memory.js'
import type { Dataset, Sample } from './sample.js'

export interface ColumnChanges {
  /** Old name to new name. */
  readonly rename?: Readonly<Record<string, string>>
  /** Left out, after renaming. */
  readonly remove?: readonly string[]
}

/** A data set whose samples have some columns renamed, then some removed, as stable-pretraining's HFDataset does. */
export function withColumns(dataset: Dataset, { rename = {}, remove = [] }: ColumnChanges): Dataset {
  const change = (sample: Sample): Sample => {
    const missing = Object.keys(rename).find((name) => !(name in sample))
    if (missing !== undefined) throw unknownColumn(dataset, missing, sample)
    const changed = Object.fromEntries(
      Object.entries(sample).map(([name, value]) => [Object.hasOwn(rename, name) ? rename[name] : name, value]),
    )
    for (const name of remove) {
      if (!(name in changed)) throw unknownColumn(dataset, name, changed)
      delete changed[name]
    }
    return changed as unknown as Sample
  }
  return mapped(dataset, change)
}

/** A data set of tuples, or of objects, whose `length` and `get` are all there is to it. */
export interface Indexable {
  readonly length: number
  readonly name?: string
  readonly classes?: readonly string[]
  get(index: number): unknown
}

/**
 * Gives names to the items of a tuple, such as `['image', 'label']`, and to each sample its `index`: what makes a sample of
 * stable-pretraining's DictFormat and FromTorchDataset.
 */
export class DictFormat implements Dataset {
  readonly name: string
  readonly length: number
  readonly classes?: readonly string[]
  readonly dataset: Indexable
  readonly names: readonly string[]

  constructor(dataset: Indexable, names: readonly string[]) {
    this.name = dataset.name ?? 'data set'
    this.length = dataset.length
    if (dataset.classes !== undefined) this.classes = dataset.classes
    this.dataset = dataset
    this.names = names
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const item = await this.dataset.get(index)
    if (!Array.isArray(item) || item.length !== this.names.length) {
      const found = Array.isArray(item) ? `${item.length} values` : typeof item
      throw new SptError('ERR_DATA', `expected a tuple of ${this.names.join(', ')}, found ${found}`)
    }
    return { ...Object.fromEntries(this.names.map((name, i) => [name, item[i]])), index } as unknown as Sample
  }
}

function mapped(dataset: Dataset, change: (sample: Sample) => Sample): Dataset {
  return {
    name: dataset.name,
    length: dataset.length,
    ...(dataset.classes !== undefined && { classes: dataset.classes }),
    ...(dataset.shuffled !== undefined && { shuffled: (seed, epoch) => dataset.shuffled!(seed, epoch) }),
    get: async (index) => change(await dataset.get(index)),
  }
}

function unknownColumn(dataset: Dataset, name: string, sample: object): SptError {
  return new SptError('ERR_DATA', `${dataset.name}: samples have no column "${name}"`, {
    hint: `They have ${Object.keys(sample).join(', ')}.`,
  })
}
