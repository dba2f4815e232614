/** Elementwise operations in ONNX. */
import type { DType } from '../../tensor/index.js'
import type { Graph } from '../graph.js'
import { Value } from '../pair.js'
import { Float } from '../protobuf.js'
import { isAbsent, numberOf, type Operator, tensorOf } from './operator.js'

export const elementwise: Record<string, Operator> = {
  neg: unary('Neg'),
  abs: unary('Abs'),
  exp: unary('Exp'),
  log: unary('Log'),
  sqrt: unary('Sqrt'),
  reciprocal: unary('Reciprocal'),
  sign: unary('Sign'),
  sin: unary('Sin'),
  cos: unary('Cos'),
  tanh: unary('Tanh'),
  erf: unary('Erf'),
  floor: unary('Floor'),
  ceil: unary('Ceil'),
  round: unary('Round'),
  relu: unary('Relu'),
  sigmoid: unary('Sigmoid'),
  rsqrt: (graph, [x]) => graph.node('Reciprocal', [graph.node('Sqrt', [tensorOf(graph, x)])]),
  square: (graph, [x]) => graph.node('Mul', [tensorOf(graph, x), tensorOf(graph, x)]),
  expm1: (graph, [x], [result]) => {
    const one = graph.scalar(1, floatOf(result))
    return graph.node('Sub', [graph.node('Exp', [tensorOf(graph, x)]), one])
  },
  log1p,
  logSigmoid: (graph, [x]) => {
    const opposite = graph.node('Neg', [tensorOf(graph, x)])
    return graph.node('Neg', [graph.node('Softplus', [opposite])])
  },
  silu: (graph, [x]) => graph.node('Mul', [tensorOf(graph, x), graph.node('Sigmoid', [tensorOf(graph, x)])]),
  gelu: (graph, [x, approximate = 'none']) => gelu(graph, tensorOf(graph, x), approximate === 'tanh'),
  geluExact: (graph, [x]) => gelu(graph, tensorOf(graph, x), false),
  geluTanh: (graph, [x]) => gelu(graph, tensorOf(graph, x), true),
  leakyRelu: (graph, [x, slope]) =>
    graph.node('LeakyRelu', [tensorOf(graph, x)], { alpha: new Float(numberOf(graph, slope, 0.01)) }),
  elu: (graph, [x, alpha]) => graph.node('Elu', [tensorOf(graph, x)], { alpha: new Float(numberOf(graph, alpha, 1)) }),
  softplus: (graph, [x, beta], [result]) => {
    const factor = numberOf(graph, beta, 1)
    if (factor === 1) return graph.node('Softplus', [tensorOf(graph, x)])
    const scale = graph.scalar(factor, floatOf(result))
    return graph.node('Div', [graph.node('Softplus', [graph.node('Mul', [tensorOf(graph, x), scale])]), scale])
  },
  clamp: (graph, [x, min, max]) => {
    const value = tensorOf(graph, x)
    const limit = (bound: unknown): string => (isAbsent(bound) ? '' : graph.scalar(numberOf(graph, bound), value.dtype))
    return graph.node('Clip', [value, limit(min), limit(max)])
  },
  add: binary('Add'),
  sub: binary('Sub'),
  mul: binary('Mul'),
  div: binary('Div'),
  pow: binary('Pow'),
  maximum: binary('Max'),
  minimum: binary('Min'),
  rsub: (graph, [x, other], results) => binary('Sub')(graph, [other, x], results),
  rdiv: (graph, [x, other], results) => binary('Div')(graph, [other, x], results),
  eq: comparison('Equal'),
  ne: (graph, args, results) => graph.node('Not', [comparison('Equal')(graph, args, results) as string]),
  lt: comparison('Less'),
  le: comparison('LessOrEqual'),
  gt: comparison('Greater'),
  ge: comparison('GreaterOrEqual'),
  to: (graph, [x, dtype]) => graph.cast(tensorOf(graph, x), dtype as DType),
  where: (graph, [condition, a, b], [result]) =>
    graph.node('Where', [
      graph.cast(tensorOf(graph, condition), 'bool'),
      operand(graph, a, result),
      operand(graph, b, result),
    ]),
  maskedFill: (graph, [x, mask, value], [result]) =>
    graph.node('Where', [
      graph.cast(tensorOf(graph, mask), 'bool'),
      operand(graph, numberOf(graph, value), result),
      operand(graph, x, result),
    ]),
}

/** A tensor or a number in the type of the result. */
export function operand(graph: Graph, arg: unknown, result: Value | undefined): string {
  const dtype = result?.dtype ?? 'float32'
  return arg instanceof Value ? graph.cast(arg, dtype) : graph.scalar(numberOf(graph, arg), dtype)
}

/** The type of a result whose operation makes floats. */
export function floatOf(result: Value | undefined): DType {
  return result?.dtype ?? 'float32'
}

function unary(type: string): Operator {
  return (graph, [x], [result]) => graph.node(type, [graph.cast(tensorOf(graph, x), floatOf(result))])
}

function binary(type: string): Operator {
  return (graph, [a, b], [result]) => graph.node(type, [operand(graph, a, result), operand(graph, b, result)])
}

/** Both sides in the wider type; ONNX compares equal types only. */
function comparison(type: string): Operator {
  return (graph, [a, b]) => {
    const types = [a, b].map((side) => (side instanceof Value ? side.dtype : undefined))
    const whole = [a, b].every((side) => side instanceof Value || Number.isInteger(side))
    const order: DType[] = ['float64', 'float32', 'int64', 'uint8', 'bool']
    const widest = order.find((dtype) => types.includes(dtype)) ?? 'float32'
    const narrow = widest === 'uint8' || widest === 'bool'
    const common = narrow ? (whole ? 'int64' : 'float32') : whole || widest !== 'int64' ? widest : 'float32'
    const side = (arg: unknown): string =>
      arg instanceof Value ? graph.cast(arg, common) : graph.scalar(numberOf(graph, arg), common)
    return graph.node(type, [side(a), side(b)])
  }
}

function log1p(graph: Graph, [x]: readonly unknown[], [result]: readonly Value[]): string {
  return graph.node('Log', [graph.node('Add', [tensorOf(graph, x), graph.scalar(1, floatOf(result))])])
}

/** An operator of its own since version 20; before that x·(1 + erf(x/√2))/2, or with tanh(√(2/π)·(x + 0.044715·x³)). */
function gelu(graph: Graph, x: Value, approximate: boolean): string {
  if (graph.opset >= 20) return graph.node('Gelu', [x], { approximate: approximate ? 'tanh' : 'none' })
  const number = (value: number): string => graph.scalar(value, x.dtype)
  const bend = approximate
    ? graph.node('Tanh', [
        graph.node('Mul', [
          graph.node('Add', [
            x,
            graph.node('Mul', [graph.node('Mul', [graph.node('Mul', [x, x]), x]), number(0.044715)]),
          ]),
          number(Math.sqrt(2 / Math.PI)),
        ]),
      ])
    : graph.node('Erf', [graph.node('Div', [x, number(Math.SQRT2)])])
  const share = graph.node('Add', [bend, number(1)])
  return graph.node('Mul', [graph.node('Mul', [x, share]), number(0.5)])
}
