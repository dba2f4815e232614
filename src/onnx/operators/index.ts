/** Every operation that has an ONNX form. */
import { elementwise } from './elementwise.js'
import { layers } from './layers.js'
import { movement } from './movement.js'
import type { Operator } from './operator.js'
import { reduction } from './reduction.js'

export const operators: Readonly<Record<string, Operator>> = { ...elementwise, ...movement, ...reduction, ...layers }
