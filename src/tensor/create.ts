/** Functions that make tensors out of numbers. */
import { argumentInvalid, shapeMismatch } from '../errors.js'
import { arange as nativeArange, type DeviceName, fromData, full as nativeFull, type Tensor } from '../native.js'
import { randFrom, randintFrom, randnFrom, randpermFrom, type Generator } from '../native.js'
import { defaultGenerator } from './random.js'

export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int64' | 'uint8' | 'bool'
export type TypedArray = Float32Array | Float64Array | BigInt64Array | Uint8Array
export type NestedArray = ReadonlyArray<number | bigint | boolean | NestedArray>

export type { DeviceName }

export interface CreationOptions {
  dtype?: DType | undefined
  /** Where it is made; the default device if left out. */
  device?: DeviceName | undefined
  requiresGrad?: boolean
}

export interface RandomCreationOptions extends CreationOptions {
  generator?: Generator | undefined
}

/**
 * A tensor of the given values, copied. Numbers make float32, booleans bool, bigints int64, typed arrays their own type,
 * unless `dtype` says otherwise; `shape` is for flat data.
 *
 * @throws ERR_SHAPE when nested arrays are ragged or the values do not fill the shape.
 */
export function tensor(
  data: number | bigint | boolean | NestedArray | TypedArray,
  { shape, dtype, device, requiresGrad = false }: CreationOptions & { shape?: readonly number[] } = {},
): Tensor {
  const made = ArrayBuffer.isView(data)
    ? fromData(data, [...(shape ?? [data.length])], dtype, device)
    : fromNested(data, shape, dtype, device)
  if (requiresGrad) made.requiresGrad = true
  return made
}

export function full(
  shape: readonly number[],
  value: number,
  { dtype, device, requiresGrad }: CreationOptions = {},
): Tensor {
  const made = nativeFull([...shape], value, dtype, device)
  if (requiresGrad) made.requiresGrad = true
  return made
}

export function zeros(shape: readonly number[], options: CreationOptions = {}): Tensor {
  return full(shape, 0, options)
}

export function ones(shape: readonly number[], options: CreationOptions = {}): Tensor {
  return full(shape, 1, options)
}

/** A tensor to be filled afterwards. Its values are zeros: memory that was used before would leak old numbers. */
export function empty(shape: readonly number[], options: CreationOptions = {}): Tensor {
  return full(shape, 0, options)
}

export function fullLike(model: Tensor, value: number): Tensor {
  return model.zerosLike().fill_(value)
}

export function zerosLike(model: Tensor): Tensor {
  return model.zerosLike()
}

export function onesLike(model: Tensor): Tensor {
  return fullLike(model, 1)
}

/** 0 … end − 1, or start, start + step, … below end. */
export function arange(
  startOrEnd: number,
  end?: number,
  step = 1,
  { dtype = 'int64', device }: { dtype?: DType; device?: DeviceName } = {},
): Tensor {
  return end === undefined
    ? nativeArange(0, startOrEnd, step, dtype, device)
    : nativeArange(startOrEnd, end, step, dtype, device)
}

/** `steps` numbers from start to end, both included. */
export function linspace(start: number, end: number, steps: number, options: CreationOptions = {}): Tensor {
  if (!(Number.isInteger(steps) && steps >= 0)) throw argumentInvalid('linspace: steps', 'a whole number', steps)
  const distance = steps > 1 ? (end - start) / (steps - 1) : 0
  // Counted from both ends, so that the last value is exactly `end`.
  const at = (index: number) => (index < steps / 2 ? start + distance * index : end - distance * (steps - 1 - index))
  return tensor(
    Float64Array.from({ length: steps }, (_, index) => at(index)),
    { dtype: 'float32', ...options },
  )
}

/** The unit matrix [rows, columns]. */
export function eye(rows: number, columns = rows, options: CreationOptions = {}): Tensor {
  const values = new Float32Array(rows * columns)
  for (let index = 0; index < Math.min(rows, columns); index += 1) values[index * (columns + 1)] = 1
  return tensor(values, { shape: [rows, columns], dtype: 'float32', ...options })
}

/** Uniform numbers in [0, 1). */
export function rand(shape: readonly number[], options: RandomCreationOptions = {}): Tensor {
  const { generator = defaultGenerator, dtype, device, requiresGrad = false } = options
  const made = randFrom(generator, [...shape], dtype, device)
  if (requiresGrad) made.requiresGrad = true
  return made
}

/** Normal numbers with mean 0 and variance 1. */
export function randn(shape: readonly number[], options: RandomCreationOptions = {}): Tensor {
  const { generator = defaultGenerator, dtype, device, requiresGrad = false } = options
  const made = randnFrom(generator, [...shape], dtype, device)
  if (requiresGrad) made.requiresGrad = true
  return made
}

/** Whole numbers in [low, high), int64. */
export function randint(
  low: number,
  high: number,
  shape: readonly number[],
  { generator = defaultGenerator, device }: Pick<RandomCreationOptions, 'generator' | 'device'> = {},
): Tensor {
  return randintFrom(generator, low, high, [...shape], device)
}

/** 0 … n − 1 in a random order, int64. */
export function randperm(
  n: number,
  { generator = defaultGenerator, device }: Pick<RandomCreationOptions, 'generator' | 'device'> = {},
): Tensor {
  return randpermFrom(generator, n, device)
}

function fromNested(
  data: number | bigint | boolean | NestedArray,
  shape: readonly number[] | undefined,
  dtype: DType | undefined,
  device: DeviceName | undefined,
): Tensor {
  const sizes: number[] = []
  for (let level: unknown = data; Array.isArray(level); level = level[0]) sizes.push(level.length)
  const values = flatten(data, sizes, 0)
  const first = values[0]
  const kind = dtype ?? (typeof first === 'boolean' ? 'bool' : typeof first === 'bigint' ? 'int64' : 'float32')
  const array =
    kind === 'int64'
      ? BigInt64Array.from(values, (value) => BigInt(value))
      : kind === 'float64'
        ? Float64Array.from(values, Number)
        : kind === 'float32' || kind === 'bfloat16' || kind === 'float16'
          ? Float32Array.from(values, Number)
          : Uint8Array.from(values, Number)
  return fromData(array, [...(shape ?? sizes)], kind, device)
}

type Scalar = number | bigint | boolean

function flatten(data: Scalar | NestedArray, sizes: number[], level: number): Scalar[] {
  if (!Array.isArray(data)) {
    if (level === sizes.length) return [data as Scalar]
    throw shapeMismatch('tensor', `an array of ${sizes[level]} at depth ${level}`, [])
  }
  if (level === sizes.length || data.length !== sizes[level]) {
    throw shapeMismatch('tensor', `nested arrays of sizes [${sizes.join(', ')}]`, [data.length], 'The array is ragged.')
  }
  return (data as NestedArray).flatMap((item) => flatten(item, sizes, level + 1))
}
