/**
 * An ONNX model as a file: the messages of onnx.proto, weights last and one at a time, so that a model needs no second
 * copy in memory. (Own code of a hundred lines: libraries for protocol buffers build the whole message first.)
 */
import { errorCode, reason, SptError, unsupported } from '../errors.js'
import { replaceFile } from '../runs/atomic-file.js'
import { bytesOf } from '../tensor/bytes.js'
import { Tensor, type DType } from '../tensor/index.js'
import { concatenated, encode, fieldStart, Float, type Field } from './protobuf.js'
import { showSize, type Size, VaryingSize } from './size.js'

export interface OnnxNode {
  type: string
  name: string
  inputs: string[]
  outputs: string[]
  attributes: Record<string, Attribute>
}

/** Whole numbers, unless they are a Float; a text. */
export type Attribute = number | Float | string | readonly number[]

export interface Initializer {
  name: string
  dtype: DType
  shape: readonly number[]
  data: Tensor | Float32Array | Float64Array | BigInt64Array | Uint8Array
}

export interface OnnxPort {
  name: string
  dtype: DType
  shape: readonly Size[]
}

export interface OnnxModel {
  opset: number
  name: string
  producerVersion: string
  inputs: OnnxPort[]
  outputs: OnnxPort[]
  nodes: OnnxNode[]
  initializers: Initializer[]
}

/** onnx.proto's TensorProto.DataType. */
export const dataTypes: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
}

const bytesPerElement: Readonly<Record<DType, number>> = {
  float32: 4,
  uint8: 1,
  int64: 8,
  bool: 1,
  float16: 2,
  float64: 8,
  bfloat16: 2,
}

/** What one protocol buffer may have. */
const sizeLimit = 2 ** 31 - 1

/** Writes a file that appears whole. @throws ERR_DATA when it cannot be written, ERR_UNSUPPORTED above 2 GiB. */
export async function writeModel(path: string, model: OnnxModel): Promise<void> {
  const weights = model.initializers.map((initializer) => ({ initializer, ...weightStart(initializer) }))
  const graph = encode([
    ...model.nodes.map((node): Field => [1, encodeNode(node)]),
    [2, model.name],
    ...model.inputs.map((port): Field => [11, encodePort(port)]),
    ...model.outputs.map((port): Field => [12, encodePort(port)]),
  ])
  const graphLength = weights.reduce((sum, { start, bytes }) => sum + start.length + bytes, graph.length)
  if (graphLength > sizeLimit) {
    const why = `a model has at most 2 GiB in one file, this one has ${graphLength} bytes`
    throw unsupported('exportOnnx', why, 'Export the weights as safetensors.')
  }
  const head = encode([
    [1, irVersion(model.opset)],
    [2, 'stable-pretraining'],
    [3, model.producerVersion],
    [
      8,
      encode([
        [1, ''],
        [2, model.opset],
      ]),
    ],
  ])
  try {
    await replaceFile(path, async (file) => {
      await file.writeFile(concatenated([head, fieldStart(7, graphLength), graph]))
      for (const { initializer, start } of weights) {
        await file.writeFile(start)
        const { data } = initializer
        const { buffer, byteOffset, byteLength } = data instanceof Tensor ? await bytesOf(data) : data
        await file.writeFile(new Uint8Array(buffer, byteOffset, byteLength))
      }
    })
  } catch (cause) {
    if (errorCode(cause) !== undefined) throw cause
    throw new SptError('ERR_DATA', `${path}: cannot be written (${reason(cause)})`, { cause })
  }
}

/** The oldest version of the file format that knows the operators: whatever reads these reads the file. */
function irVersion(opset: number): number {
  return opset <= 18 ? 8 : opset <= 20 ? 9 : 10
}

/** A field of the graph with everything of a weight but its bytes, of which there are `bytes`. */
function weightStart({ name, dtype, shape }: Initializer): { start: Uint8Array; bytes: number } {
  const bytes = shape.reduce((product, size) => product * size, bytesPerElement[dtype])
  const fields = encode([...shape.map((size): Field => [1, size]), [2, dataTypes[dtype]], [8, name]])
  const inner = concatenated([fields, fieldStart(9, bytes)])
  return { start: concatenated([fieldStart(5, inner.length + bytes), inner]), bytes }
}

function encodeNode({ type, name, inputs, outputs, attributes }: OnnxNode): Uint8Array {
  return encode([
    ...inputs.map((input): Field => [1, input]),
    ...outputs.map((output): Field => [2, output]),
    [3, name],
    [4, type],
    ...Object.entries(attributes).map(([key, value]): Field => [5, encodeAttribute(key, value)]),
  ])
}

function encodeAttribute(name: string, value: Attribute): Uint8Array {
  const named: Field = [1, name]
  if (value instanceof Float) return encode([named, [2, value], [20, 1]])
  if (typeof value === 'number') return encode([named, [3, value], [20, 2]])
  if (typeof value === 'string') return encode([named, [4, value], [20, 3]])
  return encode([named, ...value.map((item): Field => [8, item]), [20, 7]])
}

function encodePort({ name, dtype, shape }: OnnxPort): Uint8Array {
  const dimension = (size: Size): Uint8Array => encode([size instanceof VaryingSize ? [2, showSize(size)] : [1, size]])
  const tensor = encode([
    [1, dataTypes[dtype]],
    [2, encode(shape.map((size): Field => [1, dimension(size)]))],
  ])
  return encode([
    [1, name],
    [2, encode([[1, tensor]])],
  ])
}
