/** Operations that reduce, order or normalise along axes in ONNX. */
import type { Graph } from '../graph.js'
import type { Value } from '../pair.js'
import { floatOf } from './elementwise.js'
import { axesOf, fixed, isAbsent, numberOf, type Operator, tensorOf } from './operator.js'

export const reduction: Record<string, Operator> = {
  sum: (graph, [x, dims, keepdim], [result]) => reduce(graph, 'ReduceSum', cast(graph, x, result), x, dims, keepdim),
  mean: (graph, [x, dims, keepdim], [result]) => reduce(graph, 'ReduceMean', cast(graph, x, result), x, dims, keepdim),
  prod: (graph, [x, dims, keepdim], [result]) => reduce(graph, 'ReduceProd', cast(graph, x, result), x, dims, keepdim),
  amax: (graph, [x, dims, keepdim]) => reduce(graph, 'ReduceMax', tensorOf(graph, x), x, dims, keepdim),
  amin: (graph, [x, dims, keepdim]) => reduce(graph, 'ReduceMin', tensorOf(graph, x), x, dims, keepdim),
  logsumexp: (graph, [x, dims, keepdim]) => reduce(graph, 'ReduceLogSumExp', tensorOf(graph, x), x, dims, keepdim),
  norm: (graph, [x, p, dims, keepdim]) => {
    const order = numberOf(graph, p, 2)
    const types: Record<number, string> = { 1: 'ReduceL1', 2: 'ReduceL2' }
    const type = types[order]
    if (type === undefined) throw graph.unsupported(`the norm of order ${order} has no form there`)
    return reduce(graph, type, tensorOf(graph, x), x, dims, keepdim)
  },
  normalize: (graph, [x, p, dim, eps], [result]) => {
    if (numberOf(graph, p, 2) !== 2) throw graph.unsupported('only the norm of order 2 has a form there')
    const length = reduce(graph, 'ReduceL2', tensorOf(graph, x), x, numberOf(graph, dim, 1), true)
    const floor = graph.node('Max', [length, graph.scalar(numberOf(graph, eps, 1e-12), floatOf(result))])
    return graph.node('Div', [tensorOf(graph, x), floor])
  },
  var: (graph, [x, dims, correction, keepdim]) => variance(graph, tensorOf(graph, x), dims, correction, keepdim),
  std: (graph, [x, dims, correction, keepdim]) =>
    graph.node('Sqrt', [variance(graph, tensorOf(graph, x), dims, correction, keepdim)]),
  argmax: (graph, [x, dim, keepdim]) => extreme(graph, 'ArgMax', tensorOf(graph, x), dim, keepdim),
  argmin: (graph, [x, dim, keepdim]) => extreme(graph, 'ArgMin', tensorOf(graph, x), dim, keepdim),
  max: (graph, [x, dim, keepdim]) => valuesAndPlaces(graph, ['ReduceMax', 'ArgMax'], x, dim, keepdim),
  min: (graph, [x, dim, keepdim]) => valuesAndPlaces(graph, ['ReduceMin', 'ArgMin'], x, dim, keepdim),
  topk: (graph, [x, k, dim, largest]) => {
    const count = graph.ints([numberOf(graph, k)])
    const options = { axis: numberOf(graph, dim, -1), largest: largest === false ? 0 : 1, sorted: 1 }
    return graph.multiNode('TopK', [tensorOf(graph, x), count], 2, options)
  },
  softmax: (graph, [x, dim]) => graph.node('Softmax', [tensorOf(graph, x)], { axis: numberOf(graph, dim) }),
  logSoftmax: (graph, [x, dim]) => graph.node('LogSoftmax', [tensorOf(graph, x)], { axis: numberOf(graph, dim) }),
  cumsum: (graph, [x, dim], [result]) =>
    graph.node('CumSum', [cast(graph, x, result), graph.scalar(numberOf(graph, dim), 'int64')]),
}

/** `value` is `x`, perhaps in another type. */
function reduce(
  graph: Graph,
  type: string,
  value: string | Value,
  x: unknown,
  dims: unknown,
  keepdim: unknown,
): string {
  const axes = axesOf(graph, dims, tensorOf(graph, x).shape.length)
  return graph.node(type, [value, graph.ints(axes)], { keepdims: keepdim === true ? 1 : 0 })
}

/** Integers and truth values add up in the type of the result. */
function cast(graph: Graph, x: unknown, result: Value | undefined): string {
  return graph.cast(tensorOf(graph, x), floatOf(result))
}

/** Σ(x − mean)² / (n − correction). */
function variance(graph: Graph, x: Value, dims: unknown, correction: unknown, keepdim: unknown): string {
  const axes = axesOf(graph, dims, x.shape.length)
  const count = axes.reduce((product, axis) => product * fixed(graph, x.shape[axis]), 1)
  const mean = graph.node('ReduceMean', [x, graph.ints(axes)], { keepdims: 1 })
  const distance = graph.node('Sub', [x, mean])
  const squares = graph.node('Mul', [distance, distance])
  const sum = graph.node('ReduceSum', [squares, graph.ints(axes)], { keepdims: keepdim === true ? 1 : 0 })
  return graph.node('Div', [sum, graph.scalar(count - numberOf(graph, correction, 1), x.dtype)])
}

function extreme(graph: Graph, type: string, x: Value, dim: unknown, keepdim: unknown): string {
  if (!isAbsent(dim)) {
    return graph.node(type, [x], { axis: numberOf(graph, dim), keepdims: keepdim === true ? 1 : 0 })
  }
  const line = graph.node('Reshape', [x, graph.ints([-1])])
  const place = graph.node(type, [line], { axis: 0, keepdims: 0 })
  return keepdim === true
    ? graph.reshape(
        place,
        x.shape.map(() => 1),
      )
    : place
}

function valuesAndPlaces(
  graph: Graph,
  [reduced, place]: readonly [string, string],
  x: unknown,
  dim: unknown,
  keepdim: unknown,
): string[] {
  const value = reduce(graph, reduced, tensorOf(graph, x), x, dim, keepdim)
  return isAbsent(dim) ? [value] : [value, extreme(graph, place, tensorOf(graph, x), dim, keepdim)]
}
