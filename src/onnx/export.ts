/** Writes a module as an ONNX model: the operations of its forward in evaluation mode, with its weights. */
import { argumentInvalid, unsupported } from '../errors.js'
import { Generator, randnFrom } from '../native.js'
import type { Module } from '../nn/index.js'
import { packageVersion } from '../runs/package-version.js'
import { scope, type Tensor } from '../tensor/index.js'
import { Graph } from './graph.js'
import { type OnnxPort, writeModel } from './model-file.js'
import { operators } from './operators/index.js'
import { type Call, type Paired, pairTraces, Value } from './pair.js'
import { VaryingSize } from './size.js'
import { trace, type Trace } from './trace.js'

export interface ExportOnnxOptions {
  /** Whether the first axis of the input may have any size. Default true. */
  dynamicBatch?: boolean
  /** Version of the operators: 18 (the default) to 21. Later ones make smaller graphs, older readers know fewer. */
  opset?: number
}

/**
 * Writes `module` as an ONNX file with one input, `input`, and an output `output` (or, where forward returns a record or
 * a list, one output for each tensor under its name). Weights keep their names of the state dict.
 *
 * The forward runs twice in evaluation mode, with two batch sizes, on an input that is drawn at random; the module is
 * left as it was. What does not depend on the input is computed now and stored.
 *
 * @param inputShape [batch, …], such as [1, 3, 224, 224]. With `dynamicBatch` the batch may be any.
 * @throws ERR_UNSUPPORTED naming the operation and the module, for what ONNX has no form for, and for a forward that is
 *   random or depends on the numbers or on the batch size in other ways than its shapes; ERR_DATA when the file cannot be
 *   written.
 */
export async function exportOnnx(
  module: Module<unknown>,
  inputShape: readonly number[],
  path: string,
  { dynamicBatch = true, opset = 18 }: ExportOnnxOptions = {},
): Promise<void> {
  if (!(Number.isInteger(opset) && opset >= 18 && opset <= 21)) {
    throw argumentInvalid('exportOnnx: opset', 'a whole number from 18 to 21', opset)
  }
  if (inputShape.length === 0 || !inputShape.every((size) => Number.isInteger(size) && size > 0)) {
    throw argumentInvalid('exportOnnx: inputShape', 'sizes above 0, the batch first', inputShape)
  }
  const [batch = 1, ...rest] = inputShape
  const paired = await pairTraces(...traceTwice(module, [batch, ...rest], dynamicBatch ? batch + 1 : batch))
  const names = new Map([...module.namedBuffers(), ...module.namedParameters()].map(([name, tensor]) => [tensor, name]))
  const graph = new Graph(opset, 'input', names)
  paired.input.name = 'input'
  for (const call of paired.calls) addCall(graph, call)
  const outputs = namedOutputs(graph, paired)
  graph.prune(outputs.map(({ name }) => name))
  await writeModel(path, {
    opset,
    name: module.constructor.name,
    producerVersion: packageVersion(),
    inputs: [{ name: 'input', dtype: paired.input.dtype, shape: paired.input.shape }],
    outputs,
    nodes: graph.nodes,
    initializers: [...graph.initializers.values()],
  })
}

/** In evaluation mode; afterwards the module is as it was. */
function traceTwice(module: Module<unknown>, shape: readonly number[], otherBatch: number): [Trace, Trace] {
  const modes = module.modules().map((each) => [each, each.training] as const)
  module.eval()
  // A generator of its own: exporting in the middle of a run changes none of its numbers.
  const once = (sizes: readonly number[]): Trace =>
    scope(() => {
      const traced = trace(module, randnFrom(new Generator(0), [...sizes]))
      return { traced, constants: constantsOf(traced) }
    }).traced
  try {
    return [once(shape), once([otherBatch, ...shape.slice(1)])]
  } finally {
    for (const [each, training] of modes) each.training = training
  }
}

/** What has to outlive the scope of the forward. */
function constantsOf({ calls, output }: Trace): Tensor[] {
  const found: Tensor[] = []
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const { constant } = value as { constant?: Tensor }
    if (constant) found.push(constant)
    else for (const item of Object.values(value)) visit(item)
  }
  visit([calls.map(({ args }) => args), output])
  return found
}

function addCall(graph: Graph, call: Call): void {
  graph.begin(call)
  const operator = Object.hasOwn(operators, call.operation) ? operators[call.operation] : undefined
  if (!operator) throw graph.unsupported('the operation has no ONNX form here')
  const made = [operator(graph, call.args, call.results)].flat()
  for (const [index, result] of call.results.entries()) result.name = made[index]
}

/** The outputs under the names they get in the graph. */
function namedOutputs(graph: Graph, { output }: Paired): OnnxPort[] {
  const found: Array<[string, Value]> = []
  const visit = (name: string, value: unknown): void => {
    if (value instanceof Value) found.push([name, value])
    else if (value instanceof VaryingSize || typeof value !== 'object' || value === null) return
    else for (const [key, item] of Object.entries(value)) visit(name === '' ? key : `${name}.${key}`, item)
  }
  visit('', output)
  if (found.length === 0) throw unsupported('exportOnnx', 'the forward of the module returns no tensor')
  return found.map(([key, value]) => {
    const name = key === '' ? 'output' : /^\d/.test(key) ? `output.${key}` : key
    // A name of its own, also for what is the input or a weight.
    const node = { type: 'Identity', name, inputs: [graph.name(value)], outputs: [name], attributes: {} }
    graph.nodes.push(node)
    return { name, dtype: value.dtype, shape: value.shape }
  })
}
