/**
 * Values of Parquet columns that hold lists or structures, put together from the levels and values of their leaves: a list
 * becomes an array, a structure an object. Source: Apache Parquet's format documents, "Nested Encoding" and "Lists".
 */
import type { SchemaTree } from 'hyparquet'
import { Malformed } from './parquet-codecs.js'
import type { Value } from './parquet-pages.js'

/** One value of a leaf, or the absence of one, with its levels. */
export interface Slots {
  /** How deep a list is that goes on here; 0 begins a row. */
  readonly repetition: Iterable<number> & ArrayLike<number>
  /** How much of the path to the leaf is there. */
  readonly definition: Iterable<number> & ArrayLike<number>
  readonly values: readonly Value[]
}

/** What a column with lists or structures holds in a row. */
export type NestedValue = Value | NestedValue[] | { [name: string]: NestedValue }

/** The levels from which on a node is there, and at which its list goes on. */
export interface Levels {
  readonly definition: number
  readonly repetition: number
}

const top: Levels = { definition: 0, repetition: 0 }

/** The leaves of a column at the top, each with its levels, in the order of the file's columns. */
export function leavesOf(node: SchemaTree, above = top): { node: SchemaTree; levels: Levels }[] {
  const levels = levelsOf(node, above)
  if (node.children.length === 0) return [{ node, levels }]
  return node.children.flatMap((child) => leavesOf(child, levels))
}

function levelsOf({ element }: SchemaTree, above: Levels): Levels {
  const repeated = element.repetition_type === 'REPEATED' ? 1 : 0
  const optional = element.repetition_type === 'OPTIONAL' ? 1 : 0
  return { definition: above.definition + repeated + optional, repetition: above.repetition + repeated }
}

/** The value of a column at the top in one row, given the slots of that row of each of its leaves, in their order. */
export function assemble(column: SchemaTree, leaves: readonly Slots[]): NestedValue {
  const cursors = leaves.map((slots) => new Cursor(slots))
  const value = nodeValue(column, top, cursors)
  if (cursors.some(({ ended }) => !ended)) throw new Malformed('its levels say more than its lists hold')
  return value
}

class Cursor {
  readonly #slots: Slots
  #at = 0

  constructor(slots: Slots) {
    this.#slots = slots
  }

  get ended(): boolean {
    return this.#at >= this.#slots.values.length
  }

  get definition(): number {
    return this.#slots.definition[this.#at] ?? -1
  }

  /** -1 at the end of the row. */
  get repetition(): number {
    return this.#slots.repetition[this.#at] ?? -1
  }

  next(): Value {
    if (this.ended) throw new Malformed('its levels end too early')
    return this.#slots.values[this.#at++] ?? null
  }
}

/** What the node holds next; takes at least one slot of each leaf below it. */
function nodeValue(node: SchemaTree, above: Levels, cursors: readonly Cursor[]): NestedValue {
  const { repetition_type } = node.element
  const levels = levelsOf(node, above)
  if (repetition_type === 'REPEATED') return repeated(levels, cursors, () => content(node, levels, cursors))
  if (repetition_type === 'OPTIONAL' && !agreed(cursors, 'definition', levels.definition)) return nothing(cursors)
  return content(node, levels, cursors)
}

/** As many items as the levels tell. */
function repeated(levels: Levels, cursors: readonly Cursor[], item: () => NestedValue): NestedValue[] {
  const list: NestedValue[] = []
  if (!agreed(cursors, 'definition', levels.definition)) {
    nothing(cursors)
    return list
  }
  do list.push(item())
  while (agreed(cursors, 'repetition', levels.repetition))
  return list
}

function content(node: SchemaTree, levels: Levels, cursors: readonly Cursor[]): NestedValue {
  if (node.children.length === 0) return (cursors[0] as Cursor).next()
  const list = listIn(node)
  if (list !== undefined) return listValue(list, node.element.name, levels, cursors)
  let first = 0
  const entries = node.children.map((child) => {
    const own = cursors.slice(first, (first += leafCount(child)))
    return [child.element.name, nodeValue(child, levels, own)] as const
  })
  return Object.fromEntries(entries)
}

/** The repeated field of a group that says it is a list, or a map: a list of keys and values. */
function listIn({ element, children }: SchemaTree): SchemaTree | undefined {
  const [only] = children
  const said = element.logical_type?.type ?? element.converted_type ?? ''
  const list = ['LIST', 'MAP', 'MAP_KEY_VALUE'].includes(said)
  return list && children.length === 1 && only?.element.repetition_type === 'REPEATED' ? only : undefined
}

/** In three levels each repetition is a group of one field, the element; older writers make the repetition itself the element. */
function listValue(field: SchemaTree, name: string, above: Levels, cursors: readonly Cursor[]): NestedValue {
  const [element] = field.children
  const wrapped =
    element !== undefined &&
    field.children.length === 1 &&
    element.element.repetition_type !== 'REPEATED' &&
    field.element.name !== 'array' &&
    field.element.name !== `${name}_tuple`
  if (!wrapped) return nodeValue(field, above, cursors)
  const levels = levelsOf(field, above)
  return repeated(levels, cursors, () => nodeValue(element, levels, cursors))
}

/** Takes the slots of something that is absent. */
function nothing(cursors: readonly Cursor[]): null {
  for (const cursor of cursors) cursor.next()
  return null
}

/** Whether the next slots are there (definition), or go on with a list (repetition): the leaves of one structure say the same. */
function agreed(cursors: readonly Cursor[], which: 'definition' | 'repetition', level: number): boolean {
  const told = tells(cursors[0] as Cursor, which, level)
  for (let i = 1; i < cursors.length; i++) {
    if (tells(cursors[i] as Cursor, which, level) !== told) throw new Malformed('its leaves disagree on their lists')
  }
  return told
}

function tells(cursor: Cursor, which: 'definition' | 'repetition', level: number): boolean {
  return which === 'definition' ? cursor.definition >= level : cursor.repetition === level
}

function leafCount(node: SchemaTree): number {
  return node.children.length === 0 ? 1 : node.children.reduce((sum, child) => sum + leafCount(child), 0)
}
