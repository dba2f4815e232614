/** Operations that move, cut, join and look up elements in ONNX. */
import type { Graph } from '../graph.js'
import type { Value } from '../pair.js'
import { addSizes, type Size } from '../size.js'
import { floatOf, operand } from './elementwise.js'
import { axesOf, fixed, isAbsent, numberOf, numbersOf, type Operator, sizeOfArgument, tensorOf } from './operator.js'

export const movement: Record<string, Operator> = {
  detach: same,
  clone: same,
  contiguous: same,
  channelsLast: same,
  reshape: toResult,
  view: toResult,
  flatten: toResult,
  squeeze: toResult,
  unsqueeze: (graph, [x, dim], [result]) => {
    const axis = numberOf(graph, dim)
    return graph.node('Unsqueeze', [tensorOf(graph, x), graph.ints([axis < 0 ? axis + shapeOf(result).length : axis])])
  },
  permute: (graph, [x, dims]) => {
    const value = tensorOf(graph, x)
    return graph.node('Transpose', [value], { perm: axesOf(graph, dims, value.shape.length) })
  },
  transpose: (graph, [x, a, b]) => transposed(graph, tensorOf(graph, x), numberOf(graph, a), numberOf(graph, b)),
  t: (graph, [x]) => transposed(graph, tensorOf(graph, x), 0, -1),
  expand: (graph, [x], [result]) => graph.expand(tensorOf(graph, x), shapeOf(result)),
  narrow: (graph, [x, dim, start, length, step]) => {
    const stride = numberOf(graph, step, 1)
    const begin = sizeOfArgument(graph, start)
    const end = addSizes(begin, sizeOfArgument(graph, length), stride)
    return slice(graph, tensorOf(graph, x), numberOf(graph, dim), begin, end, stride)
  },
  splitSizes: (graph, [x, , dim], results) => {
    const [value, axis] = [tensorOf(graph, x), numberOf(graph, dim)]
    let end: Size = 0
    return results.map((result) => {
      const begin = end
      end = addSizes(begin, shapeOf(result)[axis] ?? 0)
      return slice(graph, value, axis, begin, end)
    })
  },
  select: (graph, [x, dim, index]) => {
    const value = tensorOf(graph, x)
    const place = graph.scalar(numberOf(graph, index), 'int64')
    return graph.node('Gather', [value, place], { axis: numberOf(graph, dim) })
  },
  cat: (graph, [tensors, dim], [result]) => {
    const inputs = (tensors as unknown[]).map((tensor) => operand(graph, tensor, result))
    return graph.node('Concat', inputs, { axis: numberOf(graph, dim, 0) })
  },
  stack: (graph, [tensors, dim], [result]) => {
    const axis = numberOf(graph, dim, 0)
    const place = graph.ints([axis < 0 ? axis + shapeOf(result).length : axis])
    const inputs = (tensors as unknown[]).map((tensor) =>
      graph.node('Unsqueeze', [operand(graph, tensor, result), place]),
    )
    return graph.node('Concat', inputs, { axis })
  },
  repeat: (graph, [x, times]) => {
    const value = tensorOf(graph, x)
    const counts = (times as unknown[]).map((count) => sizeOfArgument(graph, count))
    const lead = Array.from({ length: counts.length - value.shape.length }, (_, axis) => axis)
    const wide = lead.length === 0 ? value : graph.node('Unsqueeze', [value, graph.ints(lead)])
    return graph.node('Tile', [wide, graph.sizes(counts)])
  },
  flip: (graph, [x, dims]) => {
    const value = tensorOf(graph, x)
    const axes = axesOf(graph, dims, value.shape.length)
    const every = (number: number): string => graph.ints(axes.map(() => number))
    return graph.node('Slice', [value, every(-1), every(-endOfAxis), graph.ints(axes), every(-1)])
  },
  roll: (graph, [x, shifts, dims]) => {
    const value = tensorOf(graph, x)
    if (isAbsent(dims)) throw graph.unsupported('without axes it has no form there')
    const by = numbersOf(graph, shifts)
    return axesOf(graph, dims, value.shape.length).reduce<Value | string>((rolled, axis, index) => {
      const size = fixed(graph, value.shape[axis])
      const cut = (((-(by[index] ?? 0) % size) + size) % size) as number
      const [back, front] = [slice(graph, rolled, axis, cut, endOfAxis), slice(graph, rolled, axis, 0, cut)]
      return graph.node('Concat', [back, front], { axis })
    }, value) as string
  },
  pad: (graph, [x, amounts, mode, fill], [result]) => {
    const value = tensorOf(graph, x)
    const given = numbersOf(graph, amounts) // [left, right, top, bottom, …], the last axis first
    const before = value.shape.map((_, axis) => given[2 * (value.shape.length - 1 - axis)] ?? 0)
    const after = value.shape.map((_, axis) => given[2 * (value.shape.length - 1 - axis) + 1] ?? 0)
    const modes: Record<string, string> = {
      constant: 'constant',
      reflect: 'reflect',
      replicate: 'edge',
      circular: 'wrap',
    }
    const name = modes[isAbsent(mode) ? 'constant' : (mode as string)] ?? ''
    if (name === 'wrap' && graph.opset < 19) throw graph.unsupported('circular padding needs { opset: 19 } or later')
    const constant = name === 'constant' ? [graph.scalar(numberOf(graph, fill, 0), floatOf(result))] : []
    return graph.node('Pad', [value, graph.ints([...before, ...after]), ...constant], { mode: name })
  },
  tril: (graph, [x, diagonal]) => triangle(graph, tensorOf(graph, x), diagonal, 0),
  triu: (graph, [x, diagonal]) => triangle(graph, tensorOf(graph, x), diagonal, 1),
  indexSelect: (graph, [x, dim, index]) =>
    graph.node('Gather', [tensorOf(graph, x), tensorOf(graph, index)], { axis: numberOf(graph, dim) }),
  gather: (graph, [x, dim, index]) =>
    graph.node('GatherElements', [tensorOf(graph, x), tensorOf(graph, index)], { axis: numberOf(graph, dim) }),
  scatterAdd: (graph, [x, dim, index, source]) =>
    graph.node('ScatterElements', [tensorOf(graph, x), tensorOf(graph, index), tensorOf(graph, source)], {
      axis: numberOf(graph, dim),
      reduction: 'add',
    }),
  embedding: (graph, [a, b]) => {
    const [first, second] = [tensorOf(graph, a), tensorOf(graph, b)]
    const [table, index] = first.dtype === 'int64' ? [second, first] : [first, second]
    return graph.node('Gather', [table, index], { axis: 0 })
  },
}

/** Beyond the end of every axis: up to the last element. */
const endOfAxis = 2 ** 40

/** The value itself: where its elements lie is no matter here. */
function same(graph: Graph, [x]: readonly unknown[]): string {
  return graph.name(tensorOf(graph, x))
}

/** The shape it had when it ran, whatever the arguments said. */
function toResult(graph: Graph, [x]: readonly unknown[], [result]: readonly Value[]): string {
  return graph.reshape(tensorOf(graph, x), shapeOf(result))
}

function shapeOf(result: Value | undefined): readonly Size[] {
  return result?.shape ?? []
}

export function transposed(graph: Graph, value: Value, a: number, b: number): string {
  const perm = value.shape.map((_, axis) => axis)
  const [first, second] = [a, b].map((axis) => (axis < 0 ? axis + perm.length : axis)) as [number, number]
  perm[first] = second
  perm[second] = first
  return graph.node('Transpose', [value], { perm })
}

function slice(graph: Graph, value: Value | string, axis: number, begin: Size, end: Size, step = 1): string {
  return graph.node('Slice', [value, graph.sizes([begin]), graph.sizes([end]), graph.ints([axis]), graph.ints([step])])
}

function triangle(graph: Graph, value: Value, diagonal: unknown, upper: number): string {
  return graph.node('Trilu', [value, graph.scalar(numberOf(graph, diagonal, 0), 'int64')], { upper })
}
