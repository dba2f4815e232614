/** Sums of products in Einstein's notation, reduced to batched matrix products. */
import { SptError } from '../errors.js'
import type { Tensor } from '../native.js'

/** An operand and the label of each of its axes. */
interface Labelled {
  tensor: Tensor
  labels: string[]
}

/**
 * einsum('bhid,bhjd->bhij', q, k). Labels are letters; `...` stands for leading axes that are broadcast; without an
 * arrow the output has the labels that occur once, in alphabetical order. Operands are contracted from left to right.
 *
 * @throws ERR_ARGUMENT for an equation that does not fit the operands, ERR_SHAPE for sizes that differ under one label.
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  const { inputs, output } = parse(equation, operands)
  const named = operands.map((tensor, index) => takeDiagonals({ tensor, labels: inputs[index] ?? [] }, equation))
  checkSizes(named, equation)
  const needed = (from: number) => new Set([...output, ...named.slice(from).flatMap((operand) => operand.labels)])
  let result = sumOut(named[0] as Labelled, needed(1))
  for (let index = 1; index < named.length; index += 1) {
    result = contract(
      result,
      sumOut(named[index] as Labelled, new Set([...needed(index + 1), ...result.labels])),
      needed(index + 1),
    )
  }
  return arrange(sumOut(result, new Set(output)), output)
}

function parse(equation: string, operands: Tensor[]): { inputs: string[][]; output: string[] } {
  const [left = '', right] = equation.replaceAll(' ', '').split('->')
  const terms = left.split(',')
  if (terms.length !== operands.length)
    throw unfit(equation, `it names ${terms.length} operands, got ${operands.length}`)
  const spans = terms.map((term, index) => {
    if (!/^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(term)) throw unfit(equation, `"${term}" is not a list of letters`)
    return term.includes('...') ? (operands[index]?.ndim ?? 0) - (term.length - 3) : 0
  })
  const widest = Math.max(0, ...spans)
  // The axes under the dots are aligned at the right, as broadcasting aligns them.
  const dots = (span: number) => Array.from({ length: span }, (_, axis) => `.${widest - span + axis}`)
  const expand = (term: string, span: number) => {
    const [before = '', after = ''] = term.split('...')
    return term.includes('...') ? [...before, ...dots(span), ...after] : [...term]
  }
  const inputs = terms.map((term, index) => {
    const labels = expand(term, spans[index] ?? 0)
    if (labels.length === operands[index]?.ndim) return labels
    throw unfit(equation, `"${term}" does not fit a tensor of ${operands[index]?.ndim} axes`)
  })
  const all = inputs.flat()
  if (right !== undefined) {
    const output = expand(right, widest)
    const unknown = output.find((label, index) => !all.includes(label) || output.indexOf(label) !== index)
    if (unknown !== undefined) throw unfit(equation, `"${unknown}" of the output is in no operand, or comes twice`)
    return { inputs, output }
  }
  const single = all.filter((label) => !label.startsWith('.') && all.indexOf(label) === all.lastIndexOf(label))
  return { inputs, output: [...dots(widest), ...single.toSorted()] }
}

/** A label that occurs twice in one operand selects its diagonal. */
function takeDiagonals({ tensor, labels }: Labelled, equation: string): Labelled {
  const repeated = labels.find((label, index) => labels.indexOf(label) !== index)
  if (repeated === undefined) return { tensor, labels }
  const [first = 0, second = 0] = labels.flatMap((label, index) => (label === repeated ? [index] : []))
  const size = tensor.shape[first] ?? 0
  if (size !== tensor.shape[second])
    throw unfit(equation, `"${repeated}" is ${size} and ${tensor.shape[second]} in one operand`)
  const others = labels.flatMap((_, index) => (index === first || index === second ? [] : [index]))
  const square = tensor.permute([...others, first, second]).contiguous()
  const lead = square.shape.slice(0, -2)
  const diagonal = square.reshape([...lead, size * size]).narrow(-1, 0, size, size + 1)
  return takeDiagonals({ tensor: diagonal, labels: [...others.map((axis) => labels[axis] ?? ''), repeated] }, equation)
}

function checkSizes(operands: Labelled[], equation: string): void {
  const sizes = new Map<string, number>()
  for (const { tensor, labels } of operands) {
    labels.forEach((label, axis) => {
      const size = tensor.shape[axis] ?? 1
      const known = sizes.get(label)
      if (known !== undefined && known !== size && known !== 1 && size !== 1) {
        const name = label.startsWith('.') ? '...' : label
        throw new SptError(
          'ERR_SHAPE',
          `einsum "${equation}": "${name}" is ${known} in one operand and ${size} in another`,
        )
      }
      sizes.set(label, Math.max(known ?? 1, size))
    })
  }
}

/** Sums over the axes that nobody needs any more. */
function sumOut({ tensor, labels }: Labelled, needed: Set<string>): Labelled {
  const axes = labels.flatMap((label, axis) => (needed.has(label) ? [] : [axis]))
  if (axes.length === 0) return { tensor, labels }
  return { tensor: tensor.sum(axes), labels: labels.filter((label) => needed.has(label)) }
}

/** One batched matrix product: shared axes that are needed later are its batch, the other shared ones are summed. */
function contract(a: Labelled, b: Labelled, needed: Set<string>): Labelled {
  const sizeOf = ({ tensor, labels }: Labelled, label: string) => tensor.shape[labels.indexOf(label)] ?? 1
  const shared = a.labels.filter((label) => b.labels.includes(label))
  const both = (label: string) => Math.max(sizeOf(a, label), sizeOf(b, label))
  // An axis that one operand only broadcasts cannot be summed by the product of the other's.
  const summed = shared.filter((label) => !needed.has(label) && sizeOf(a, label) === sizeOf(b, label))
  const batch = shared.filter((label) => !summed.includes(label))
  const rows = a.labels.filter((label) => !shared.includes(label))
  const columns = b.labels.filter((label) => !shared.includes(label))
  const count = (labels: string[], size: (label: string) => number) =>
    labels.reduce((product, label) => product * size(label), 1)
  const flat = (operand: Labelled, order: string[], tail: [number, number]) => {
    const sizes = order.map((label) => (batch.includes(label) ? both(label) : sizeOf(operand, label)))
    return arrange(operand, order)
      .expand(sizes)
      .reshape([count(batch, both), ...tail])
  }
  const inner = count(summed, (label) => sizeOf(a, label))
  const height = count(rows, (label) => sizeOf(a, label))
  const width = count(columns, (label) => sizeOf(b, label))
  const left = flat(a, [...batch, ...rows, ...summed], [height, inner])
  const right = flat(b, [...batch, ...summed, ...columns], [inner, width])
  const sizes = [
    ...batch.map(both),
    ...rows.map((label) => sizeOf(a, label)),
    ...columns.map((label) => sizeOf(b, label)),
  ]
  return { tensor: left.matmul(right).reshape(sizes), labels: [...batch, ...rows, ...columns] }
}

function arrange({ tensor, labels }: Labelled, order: string[]): Tensor {
  return tensor.permute(order.map((label) => labels.indexOf(label)))
}

function unfit(equation: string, why: string): SptError {
  return new SptError('ERR_ARGUMENT', `einsum "${equation}": ${why}`)
}
