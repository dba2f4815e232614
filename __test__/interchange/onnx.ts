/** Runs exported models in onnxruntime, beside what the module itself gives. */
import { join } from 'node:path'
import { exportOnnx, type ExportOnnxOptions, type nn, noGrad, Tensor, writeNpz } from '../../src/index.js'
import { runPython } from './python.js'

export interface OnnxCase {
  name: string
  module: nn.Module<unknown>
  input: Tensor
  options?: ExportOnnxOptions
  /** The shape it is exported for; that of the input unless it says otherwise. */
  exportedShape?: readonly number[]
}

export interface OnnxResult {
  /** Why the model was refused. */
  error?: string
  /** Largest difference of any output, divided by the largest number in it, if that is above 1. */
  difference: number
  /** Of the outputs. */
  shapes: number[][]
  dtypes: string[]
  /** Of the input as the model states it: sizes, and names of those that may vary. */
  inputShape: Array<number | string>
  nodes: string[]
  initializers: string[]
}

/** Exports each case into `folder`, checks the models with onnx, and compares onnxruntime's outputs with ours. */
export async function compareWithOnnxruntime(folder: string, cases: readonly OnnxCase[]): Promise<OnnxResult[]> {
  for (const { name, module, input, options, exportedShape = input.shape } of cases) {
    await exportOnnx(module, exportedShape, join(folder, `${name}.onnx`), options)
    module.eval()
    const output = noGrad(() => module.forward(input))
    const outputs: [string, Tensor][] =
      output instanceof Tensor
        ? [['output', output]]
        : Object.entries(output as object).filter(([, value]) => value instanceof Tensor)
    await writeNpz(join(folder, `${name}.npz`), new Map([['input', input], ...outputs]))
  }
  return runPython(compare, { folder, names: cases.map(({ name }) => name) }) as OnnxResult[]
}

const compare = `
import numpy as np, onnx, onnxruntime
results = []
def compare(name):
    path = f"{argument['folder']}/{name}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options)
    stored = np.load(f"{argument['folder']}/{name}.npz")
    outputs = session.run(None, {'input': stored['input']})
    difference = 0.0
    for port, got in zip(session.get_outputs(), outputs):
        want = stored[port.name]
        if got.shape != want.shape or got.dtype != want.dtype:
            difference = float('inf')
        elif got.size:
            both = ~((got == want) | ((got != got) & (want != want)))
            gap = np.abs(got.astype('f8') - want.astype('f8'))[both]
            largest = max(1.0, float(np.abs(want[np.isfinite(want)].astype('f8')).max(initial=0)))
            difference = max(difference, float(gap.max(initial=0)) / largest)
    return {
        'difference': difference if np.isfinite(difference) else 1e30,
        'shapes': [list(one.shape) for one in outputs],
        'dtypes': [one.dtype.str for one in outputs],
        'inputShape': session.get_inputs()[0].shape,
        'nodes': [node.op_type for node in model.graph.node],
        'initializers': [one.name for one in model.graph.initializer],
    }
for name in argument['names']:
    try:
        results.append(compare(name))
    except Exception as error:
        results.append({'error': f'{type(error).__name__}: {error}'})
print(json.dumps(results))`
