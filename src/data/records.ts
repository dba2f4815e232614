/** What transforms drew, as entries of a batch: names, and numbers stacked into tensors. */
import { SptError } from '../errors.js'
import type { RecordedStep } from '../native.js'
import { Tensor, tensor } from '../tensor/index.js'
import type { Drawn } from './transform.js'

/** `name`, or where that is taken `name_0`, `name_1` … */
export function uniqueKey(name: string, taken: { has(key: string): boolean }): string {
  if (!taken.has(name)) return name
  let number = 0
  while (taken.has(`${name}_${number}`)) number++
  return `${name}_${number}`
}

/** Whole-numbered places of each step's numbers in a record, with the key it goes by. */
export function layout(
  recorded: readonly RecordedStep[],
  keys: readonly (string | undefined)[],
  taken: ReadonlySet<string> = new Set(),
): { key: string; at: number; count: number; shape: number[]; flags: boolean }[] {
  const names = new Set(taken)
  let at = 0
  return recorded.flatMap(({ name, flags, shape }, i) => {
    if (shape === undefined || shape === null) return []
    const key = uniqueKey(keys[i] ?? name, names)
    names.add(key)
    const count = shape.reduce((product, size) => product * size, 1)
    at += count
    return [{ key, at: at - count, count, shape, flags }]
  })
}

/** Records [batch, numbers] of a whole batch as tensors [batch, …]: flags bool, other numbers float32. */
export function recordColumns(
  record: Float64Array,
  recorded: readonly RecordedStep[],
  keys: readonly (string | undefined)[],
  batch: number,
): Record<string, Tensor> {
  const width = record.length / Math.max(1, batch)
  const columns = layout(recorded, keys).map(({ key, at, count, shape, flags }) => {
    const data = flags ? new Uint8Array(batch * count) : new Float32Array(batch * count)
    for (let row = 0; row < batch; row++) {
      for (let i = 0; i < count; i++) data[row * count + i] = record[row * width + at + i] as number
    }
    return [key, tensor(data, { shape: [batch, ...shape], ...(flags && { dtype: 'bool' }) }).keep()] as const
  })
  return Object.fromEntries(columns)
}

/** Stacks what was drawn for each sample. Lists of whole numbers of unequal length are cut to the shortest. */
export function stackDrawn(key: string, values: readonly Drawn[]): Tensor {
  const [first] = values as [Drawn]
  const equal = values.every(({ shape }) => shape.join() === first.shape.join())
  if (!equal && !(first.data instanceof BigInt64Array && values.every(({ shape }) => shape.length === 1))) {
    const shapes = new Set(values.map(({ shape }) => `[${shape.join(', ')}]`))
    throw new SptError('ERR_SHAPE', `"${key}" has different shapes in one batch: ${[...shapes].join(', ')}`)
  }
  const length = Math.min(...values.map(({ data }) => data.length))
  const Data = first.data.constructor as new (length: number) => Drawn['data']
  const all = new Data(length * values.length)
  for (const [row, { data }] of values.entries()) all.set(data.subarray(0, length) as never, row * length)
  const shape = [values.length, ...(equal ? first.shape : [length])]
  return tensor(all, { shape, ...(first.bool && { dtype: 'bool' }) }).keep()
}

/** Zeros in the place of what a transform would have drawn for a sample that it was not done to. */
export function zeroDrawn({ data, shape, bool }: Drawn): Drawn {
  const Data = data.constructor as new (length: number) => Drawn['data']
  return { data: new Data(data.length), shape, ...(bool && { bool }) }
}

export function isDrawn(value: unknown): value is Drawn {
  return (
    typeof value === 'object' && value !== null && 'data' in value && 'shape' in value && !(value instanceof Tensor)
  )
}
