/** Start weights of a backbone from a safetensors file. Where that lies is found in `hub.ts`. */
import { z } from 'zod'
import { SptError } from '../errors.js'
import { noGrad, type SafetensorsEntry, SafetensorsReader, scope, type Tensor } from '../tensor/index.js'
import { locateWeights, type WhereToLook } from './hub.js'
import type { Module } from './module.js'

/** The option that every backbone's plugin has under the name `pretrained`. */
export const pretrainedOption = () =>
  z
    .string()
    .min(1)
    .optional()
    .describe('start weights: a safetensors file, or a name in the Hugging Face cache such as timm/resnet18.a1_in1k')

export interface PretrainedOptions extends WhereToLook {
  /** Told in one line what was loaded and what was left out. */
  log?: ((line: string) => void) | undefined
}

const filled = new WeakSet<Module<unknown>>()

/** Whether `loadPretrained` has given the module its weights: what starts from nothing must leave them alone. */
export const isPretrained = (module: Module<unknown>): boolean => filled.has(module)

/**
 * Copies weights into `module`; `undefined` as the source does nothing. The names in the file are PyTorch's. A classifier in
 * the file is left out when the module has none, and a common prefix (`backbone.` in a run's checkpoint) is taken off.
 *
 * @throws ERR_CHECKPOINT with every missing, unexpected and differently shaped key. Nothing is changed then.
 */
export async function loadPretrained(
  module: Module<unknown>,
  source: string | undefined,
  options: PretrainedOptions = {},
): Promise<void> {
  if (source === undefined) return
  const paths = locateWeights(source, options)
  const readers: SafetensorsReader[] = []
  try {
    for (const path of paths) readers.push(await SafetensorsReader.open(path))
    const own = module.stateDict()
    const { keys, ignored } = match(module, own, readers, source)
    for (const [key, { reader, name }] of keys) {
      // One tensor in memory at a time.
      await scope(async () => {
        const value = await reader.read(name)
        noGrad(() => own.get(key)?.copy_(value))
      })
    }
    filled.add(module)
    const left = ignored.length > 0 ? `; left out ${ignored.join(', ')} (this backbone has no classifier)` : ''
    options.log?.(`pretrained: ${keys.size} tensors from ${paths.join(', ')}${left}`)
  } finally {
    for (const reader of readers) await reader.close()
  }
}

interface Found {
  reader: SafetensorsReader
  /** The key in the file, with its prefix. */
  name: string
  entry: SafetensorsEntry
}

function match(
  module: Module<unknown>,
  own: Map<string, Tensor>,
  readers: readonly SafetensorsReader[],
  source: string,
): { keys: Map<string, Found>; ignored: string[] } {
  const given = new Map<string, Found>()
  // A run's checkpoint also holds tensors that are no weights; their names have a slash.
  for (const reader of readers) {
    for (const [name, entry] of reader.entries) if (!name.includes('/')) given.set(name, { reader, name, entry })
  }
  const prefix = prefixOf([...own.keys()], given)
  const keys = new Map<string, Found>()
  for (const [name, found] of given) if (name.startsWith(prefix)) keys.set(name.slice(prefix.length), found)

  const others = [...keys.keys()].filter((key) => !own.has(key))
  const ignored = others.filter((key) => isForeignHead(key, own))
  // PyTorch files from before 0.4.1 do not count batches; the count only matters without a momentum.
  const missing = [...own.keys()].filter((key) => !keys.has(key) && !key.endsWith('num_batches_tracked'))
  const unexpected = others.filter((key) => !ignored.includes(key))
  const mismatched = [...own].flatMap(([key, { shape }]) => {
    const found = keys.get(key)
    return found && found.entry.shape.join() !== shape.join() ? [{ key, file: found.entry.shape, own: shape }] : []
  })
  if (missing.length + unexpected.length + mismatched.length > 0) {
    const shapes = mismatched.map(
      ({ key, file, own }) => `${key} is [${file.join(', ')}] in the file, [${own.join(', ')}] in the backbone`,
    )
    throw new SptError(
      'ERR_CHECKPOINT',
      [
        `the weights "${source}" (${readers.map(({ path }) => path).join(', ')}) do not fit ${module.constructor.name}`,
        ...section('missing in the file', missing, ', '),
        ...section('unexpected in the file', unexpected, ', '),
        ...section('of another shape', shapes, '; '),
      ].join('\n'),
      { hint: hint(mismatched) },
    )
  }
  for (const key of others) keys.delete(key)
  return { keys, ignored }
}

/**
 * What stands before every name of ours in the file: nothing, or the place of the backbone in a larger module. Of student
 * and teacher it is the teacher, whose embeddings are those a run was measured by.
 */
function prefixOf(own: readonly string[], given: Map<string, unknown>): string {
  const [first = ''] = own
  if (own.some((key) => given.has(key))) return ''
  const found = [...given.keys()].filter((key) => key.endsWith(`.${first}`)).map((key) => key.slice(0, -first.length))
  // A decoder or a predictor beside the backbone may have a tensor of that name too, but not all of them.
  const whole = found.filter((prefix) => own.every((key) => given.has(prefix + key) || key.endsWith('_tracked')))
  const prefixes = whole.length > 0 ? whole : found
  const chosen = ['backbone.', 'backbone.teacher.'].find((prefix) => prefixes.includes(prefix))
  return chosen ?? prefixes.find((prefix) => /(^|\.)teacher\./.test(prefix)) ?? prefixes[0] ?? ''
}

/** What torchvision, timm and transformers call the layer that makes classes. */
const heads = ['fc', 'head', 'head.fc', 'heads.head', 'head_dist', 'classifier']

/** Whether a key of the file belongs to a classifier, while the module has no such layer. */
function isForeignHead(key: string, own: Map<string, Tensor>): boolean {
  return heads.some(
    (head) => key.startsWith(`${head}.`) && ![...own.keys()].some((name) => name.startsWith(`${head}.`)),
  )
}

const shown = 12

function section(title: string, items: readonly string[], separator: string): string[] {
  if (items.length === 0) return []
  const more = items.length > shown ? `${separator}and ${items.length - shown} more` : ''
  return [`  ${title} (${items.length}): ${items.slice(0, shown).join(separator)}${more}`]
}

interface Mismatch {
  key: string
  file: readonly number[]
  own: readonly number[]
}

/** The usual reason for a filter [out, in, height, width] of another size: images with other channels. */
function hint(mismatched: readonly Mismatch[]): string {
  const stem = mismatched.find(
    ({ file, own }) => file.length === 4 && own.length === 4 && [0, 2, 3].every((axis) => file[axis] === own[axis]),
  )
  if (stem !== undefined && mismatched.length === 1) {
    return (
      `The weights are for images of ${stem.file[1]} channels, this backbone takes ${stem.own[1]}: ` +
      `set in_channels: ${stem.file[1]} and bring the images to that, or train without pretrained.`
    )
  }
  return 'Build the backbone with the options that the weights were made with, or use weights for this architecture.'
}
