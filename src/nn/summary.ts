/** A network at a glance: layers, output shapes, parameters and arithmetic of one forward. */
import { noGrad, scope, Tensor, zeros } from '../tensor/index.js'
import type { Cost, Module } from './module.js'

/** One module with all below it; the first row is the network itself, with an empty name. */
export interface SummaryRow {
  /** Qualified name, such as `layer1.0.conv1`. */
  name: string
  /** Name of its class. */
  type: string
  /** Modules above it. */
  depth: number
  /** Of its last output; null where it did not run, or returned no tensor. */
  outputShape: number[] | null
  parameters: number
  /** Those that are not frozen. */
  trainableParameters: number
  /** Multiply-accumulates of convolutions, linear layers and attention. */
  macs: number
  /** Floating-point operations: 2 for each multiply-accumulate, and those of norms. */
  flops: number
}

export interface Summary {
  inputShape: number[]
  rows: SummaryRow[]
  parameters: number
  trainableParameters: number
  macs: number
  flops: number
}

/**
 * Runs `module` once on zeros of `inputShape` (the batch axis included), in evaluation mode and without gradients, and counts.
 * Parameters that layers share count once. Activations, pooling and additions are left out. Nothing of the module changes.
 *
 * @param inputShape such as [1, 3, 224, 224]; counts are for that whole batch.
 */
export function summary(module: Module<unknown>, inputShape: readonly number[]): Summary {
  const modules = [...module.namedModules()]
  const modes = modules.map(([, each]) => each.training)
  const shapes = new Map<Module<unknown>, number[] | null>()
  const costs = new Map<Module<unknown>, Required<Cost>>()
  const removals = modules.map(([, each]) =>
    each.registerForwardHook((inputs, output) => {
      const { macs = 0, flops = 0 } = each.cost?.(inputs, output) ?? {}
      const before = costs.get(each) ?? { macs: 0, flops: 0 }
      costs.set(each, { macs: before.macs + macs, flops: before.flops + flops + 2 * macs })
      shapes.set(each, output instanceof Tensor ? [...output.shape] : null)
    }),
  )
  try {
    module.eval()
    scope(() => {
      noGrad(() => void module.forward(zeros(inputShape)))
    })
  } finally {
    for (const remove of removals) remove()
    for (const [index, [, each]] of modules.entries()) each.training = modes[index] ?? true
  }
  const rows = modules.map(([name, each]): SummaryRow => {
    const below = each.modules()
    const sum = (key: keyof Cost) => below.reduce((total, inner) => total + (costs.get(inner)?.[key] ?? 0), 0)
    return {
      name,
      type: each.constructor.name,
      depth: name === '' ? 0 : name.split('.').length,
      outputShape: shapes.get(each) ?? null,
      ...countParameters(each),
      macs: sum('macs'),
      flops: sum('flops'),
    }
  })
  const { parameters, trainableParameters, macs, flops } = rows[0] as SummaryRow
  return { inputShape: [...inputShape], rows, parameters, trainableParameters, macs, flops }
}

/** Values in all parameters, and in those that are not frozen; a shared one counts once. */
export function countParameters(module: Module<unknown>): { parameters: number; trainableParameters: number } {
  let [parameters, trainableParameters] = [0, 0]
  for (const parameter of module.parameters()) {
    parameters += parameter.numel
    if (parameter.requiresGrad) trainableParameters += parameter.numel
  }
  return { parameters, trainableParameters }
}

/** The summary as a table for a terminal; modules more than `depth` below the network are in the rows above them. */
export function summaryTable({ rows, inputShape, ...total }: Summary, { depth = 2 } = {}): string {
  const lines = rows
    .filter((row) => row.depth <= depth)
    .map((row) => [
      row.depth === 0 ? row.type : `${'  '.repeat(row.depth)}${row.name.split('.').at(-1)}`,
      row.depth === 0 ? '' : row.type,
      row.outputShape === null ? '' : `[${row.outputShape.join(', ')}]`,
      row.parameters === 0 ? '' : grouped(row.parameters),
      row.parameters === 0 ? '' : row.trainableParameters === 0 ? 'frozen' : grouped(row.trainableParameters),
      row.macs === 0 ? '' : short(row.macs),
      row.flops === 0 ? '' : short(row.flops),
    ])
  const table = [['layer', 'type', 'output', 'parameters', 'trainable', 'MACs', 'FLOPs'], ...lines]
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)))
  const aligned = table.map((line) =>
    line
      .map((cell, column) => (column < 3 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return [
    ...aligned,
    '',
    `input ${`[${inputShape.join(', ')}]`}: ${grouped(total.parameters)} parameters, ${grouped(total.trainableParameters)} trainable; ` +
      `${short(total.macs)} multiply-accumulates, ${short(total.flops)} FLOPs (2 each, and those of norms)`,
  ].join('\n')
}

function grouped(count: number): string {
  return count.toLocaleString('en-US')
}

/** Three or more digits with the unit of thousands: 1.81 G. */
function short(count: number): string {
  const units = ['', ' k', ' M', ' G', ' T', ' P']
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)))
  return power === 0 ? String(count) : `${(count / 1000 ** power).toFixed(2)}${units[power]}`
}
