/**
 * A checkpoint: one safetensors file with the weights under their own names, every other tensor of the run under names
 * that hold a "/", and the rest as JSON in the header under `spt`. It does not know what the run's parts keep.
 */
import { crc32 } from 'node:zlib'
import { checkpointCorrupt, reason } from '../errors.js'
import { readSafetensors, SafetensorsReader, writeSafetensors, type Tensor } from '../tensor/index.js'
import { type Json, pack, type StateObject, unpack } from './packing.js'

/** Raised when the meaning of the file changes; readers refuse what they do not know. */
const VERSION = 1

export interface Checkpoint {
  /** State dict of the training module, callbacks' modules included: PyTorch's names. */
  weights: ReadonlyMap<string, Tensor>
  /** Everything else, by owner; each owner's state is an object. */
  state: { [owner: string]: StateObject }
}

/** Replaces `path` by a new checkpoint; at any moment the old or the new one is whole on the disk. */
export async function saveCheckpoint(path: string, { weights, state }: Checkpoint): Promise<void> {
  const packed = Object.entries(state).map(([owner, value]) => [owner, pack(value, owner)] as const)
  const tensors = new Map(weights)
  for (const [, part] of packed) for (const [name, value] of part.tensors) tensors.set(name, value)
  const spt: Header = {
    version: VERSION,
    weights: [...weights.keys()],
    checksum: await checksum(tensors),
    state: Object.fromEntries(packed.map(([owner, part]) => [owner, part.json])),
  }
  await writeSafetensors(path, tensors, { metadata: { format: 'pt', spt: JSON.stringify(spt) } })
}

/**
 * Reads a checkpoint into memory. Its tensors belong to the scope it is called in: whoever restores from them copies.
 *
 * @throws ERR_CHECKPOINT when the file is missing, damaged, no checkpoint of a run, or of a newer version.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(path)
  if (metadata['spt'] === undefined) {
    throw checkpointCorrupt(path, 'holds no state of a run', 'It can be read as weights, but not resumed from.')
  }
  const { version, weights, state, checksum: expected } = parse(path, metadata['spt'])
  if (version !== VERSION) {
    throw checkpointCorrupt(path, `has version ${version}, this reads ${VERSION}`, 'Update stable-pretraining.')
  }
  const lookUp = (name: string): Tensor => {
    const found = tensors.get(name)
    if (found === undefined) throw checkpointCorrupt(path, `lacks tensor "${name}"`)
    return found
  }
  if ((await checksum(tensors)) !== expected) {
    throw checkpointCorrupt(
      path,
      'its numbers do not match their checksum: it was altered, or the disk is failing',
      'Use another checkpoint of the run.',
    )
  }
  const parts = Object.entries(state).map(([owner, json]) => [owner, unpack(json, lookUp) as StateObject] as const)
  return { weights: new Map(weights.map((name) => [name, lookUp(name)])), state: Object.fromEntries(parts) }
}

/** The weights alone, from a checkpoint or from any safetensors file. */
export async function loadWeights(path: string): Promise<Map<string, Tensor>> {
  const reader = await SafetensorsReader.open(path)
  try {
    const weights = new Map<string, Tensor>()
    for (const name of reader.entries.keys()) if (!name.includes('/')) weights.set(name, await reader.read(name))
    return weights
  } finally {
    await reader.close()
  }
}

interface Header {
  version: number
  /** Names of the weights, in the module's order. */
  weights: string[]
  /** CRC-32 of all tensors, in the order of their names. */
  checksum: number
  state: { [owner: string]: Json }
}

function parse(path: string, text: string): Header {
  try {
    return JSON.parse(text) as Header
  } catch (cause) {
    throw checkpointCorrupt(path, `its state is not JSON (${reason(cause)})`)
  }
}

async function checksum(tensors: ReadonlyMap<string, Tensor>): Promise<number> {
  let sum = 0
  for (const name of [...tensors.keys()].toSorted()) {
    const values = await (tensors.get(name) as Tensor).data()
    sum = crc32(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), sum)
  }
  return sum
}
