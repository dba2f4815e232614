/** An ONNX graph while it is built: operators add nodes and constants, and get the names of what they made. */
import { unsupported } from '../errors.js'
import type { DType, Tensor } from '../tensor/index.js'
import { type Attribute, dataTypes, type Initializer, type OnnxNode } from './model-file.js'
import { type Call, Value } from './pair.js'
import { sameSize, type Size, VaryingSize } from './size.js'

export class Graph {
  readonly opset: number
  /** The input of the whole graph: its first axis is the batch. */
  readonly input: string
  readonly nodes: OnnxNode[] = []
  readonly initializers = new Map<string, Initializer>()
  readonly #names: ReadonlyMap<Tensor, string>
  readonly #used = new Map<string, number>()
  #call: Call | undefined

  /** `names`: parameters and buffers under their names in the state dict. */
  constructor(opset: number, input: string, names: ReadonlyMap<Tensor, string>) {
    this.opset = opset
    this.input = input
    this.#names = names
  }

  /** What comes next belongs to this call. */
  begin(call: Call): void {
    this.#call = call
  }

  /** A node with one output, whose name is returned. */
  node(type: string, inputs: readonly (string | Value)[], attributes: Record<string, Attribute> = {}): string {
    return this.multiNode(type, inputs, 1, attributes)[0] as string
  }

  /** A node with several outputs. */
  multiNode(
    type: string,
    inputs: readonly (string | Value)[],
    outputs: number,
    attributes: Record<string, Attribute> = {},
  ): string[] {
    const module = this.#call?.module ?? ''
    const name = this.#unique(module === '' ? type : `${module}/${type}`)
    const made = Array.from({ length: outputs }, (_, index) => (index === 0 ? `${name}:0` : `${name}:${index}`))
    const named = inputs.map((input) => (typeof input === 'string' ? input : this.name(input)))
    this.nodes.push({ type, name, inputs: named, outputs: made, attributes })
    return made
  }

  /** The name of a value; a constant becomes a weight of the graph when it is first asked for. */
  name(value: Value): string {
    if (value.name !== undefined) return value.name
    if (value.constants === undefined) throw this.unsupported('uses a value that was not computed')
    const [tensor] = value.constants
    this.#arrayOf(value.dtype)
    const data = value.once ?? tensor
    const name = this.#names.get(tensor) ?? this.#unique('constant')
    this.initializers.set(name, { name, dtype: value.dtype, shape: data.shape, data })
    value.name = value.once ? this.node('Expand', [name, this.sizes(value.shape)]) : name
    return value.name
  }

  /** A number without axes, in the type of a tensor. */
  scalar(value: number, dtype: DType): string {
    const made = new (this.#arrayOf(dtype) as typeof Float32Array)(1)
    ;(made as { [index: number]: number | bigint })[0] = dtype === 'int64' ? BigInt(Math.trunc(value)) : value
    return this.#constant(`${dtype}:${value}`, { dtype, shape: [], data: made })
  }

  /** One number everywhere: for weights that were left out. */
  filled(value: number, shape: readonly number[], dtype: DType): string {
    const count = shape.reduce((product, size) => product * size, 1)
    const data = dtype === 'float64' ? new Float64Array(count).fill(value) : new Float32Array(count).fill(value)
    return this.#constant(`${dtype}:${value}:[${shape.join(',')}]`, { dtype, shape, data })
  }

  /** A table of numbers. */
  table(values: readonly number[], shape: readonly number[], dtype: DType): string {
    const data = dtype === 'float64' ? Float64Array.from(values) : Float32Array.from(values)
    return this.#constant(`${dtype}:${values.join(',')}:[${shape.join(',')}]`, { dtype, shape, data })
  }

  /** Whole numbers [n], such as axes. */
  ints(values: readonly number[]): string {
    const data = BigInt64Array.from(values, BigInt)
    return this.#constant(`int64:[${values.join(',')}]`, { dtype: 'int64', shape: [values.length], data })
  }

  /** Whole numbers [n] that may depend on the batch size, which the graph then reads off its input. */
  sizes(sizes: readonly Size[]): string {
    if (sizes.every((size) => typeof size === 'number')) return this.ints(sizes)
    const batch = this.node('Slice', [this.node('Shape', [this.input]), this.ints([0]), this.ints([1])])
    const parts = sizes.map((size) => {
      if (!(size instanceof VaryingSize)) return this.ints([size])
      const product = size.perBatch === 1 ? batch : this.node('Mul', [batch, this.ints([size.perBatch])])
      return size.plus === 0 ? product : this.node('Add', [product, this.ints([size.plus])])
    })
    return parts.length === 1 ? (parts[0] as string) : this.node('Concat', parts, { axis: 0 })
  }

  /** In another shape with as many elements. */
  reshape(value: string | Value, shape: readonly Size[]): string {
    const varying = shape.filter((size) => size instanceof VaryingSize).length
    // A single size may be left to the reader, if no other is 0.
    const open = varying === 1 && !shape.includes(0)
    return this.node('Reshape', [
      value,
      open ? this.ints(shape.map((size) => (typeof size === 'number' ? size : -1))) : this.sizes(shape),
    ])
  }

  /** Sizes of 1 repeated. */
  expand(value: Value, shape: readonly Size[]): string {
    const lead = shape.length - value.shape.length
    // What has its size already stays as it is: 1 says so.
    const wanted = shape.map((size, axis) => (sameSize(size, value.shape[axis - lead]) ? 1 : size))
    return this.node('Expand', [value, this.sizes(wanted)])
  }

  cast(value: string | Value, dtype: DType): string {
    if (value instanceof Value && value.dtype === dtype) return this.name(value)
    return this.node('Cast', [value], { to: dataTypes[dtype] })
  }

  /** An error that names the operation and the module. */
  unsupported(why: string): Error {
    const { operation = 'forward', module = '' } = this.#call ?? {}
    return unsupported(`exportOnnx: ${operation} in module "${module}"`, why)
  }

  /** Drops what no output needs. */
  prune(outputs: readonly string[]): void {
    const needed = new Set(outputs)
    const kept: OnnxNode[] = []
    for (const node of this.nodes.toReversed()) {
      if (!node.outputs.some((output) => needed.has(output))) continue
      for (const input of node.inputs) needed.add(input)
      kept.push(node)
    }
    this.nodes.splice(0, this.nodes.length, ...kept.toReversed())
    for (const name of this.initializers.keys()) if (!needed.has(name)) this.initializers.delete(name)
  }

  #arrayOf(dtype: DType): (typeof arrays)[keyof typeof arrays] {
    if (dtype === 'bfloat16' || dtype === 'float16') {
      throw this.unsupported(
        `meets a tensor of ${dtype}, and models are written in float32: convert it with .to('float32')`,
      )
    }
    return arrays[dtype]
  }

  #constant(key: string, initializer: Omit<Initializer, 'name'>): string {
    const name = `value/${key}`
    if (!this.initializers.has(name)) this.initializers.set(name, { name, ...initializer })
    return name
  }

  #unique(name: string): string {
    const count = this.#used.get(name) ?? 0
    this.#used.set(name, count + 1)
    return count === 0 ? name : `${name}_${count}`
  }
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
}
