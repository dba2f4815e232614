/** NumPy's .npz files: zip archives with a .npy file for each name, stored or deflated. */
import { dataCorrupt, errorCode, reason, SptError } from '../errors.js'
import { replaceFile } from '../runs/atomic-file.js'
import type { Tensor } from '../tensor/index.js'
import { ByteReader, bytesOfFile, withFile } from './byte-reader.js'
import { npyBytes, readNpyFrom, readNpyHeader } from './npy.js'
import { memberBegin, readZipDirectory, readZipMember, writeZip } from './zip.js'

/**
 * The arrays of a .npz file by name, read one after the other; with `names`, those only. Types as `readNpy` has them.
 *
 * @throws ERR_DATA when the file is missing, damaged or no .npz file, or lacks a name; ERR_UNSUPPORTED for a type that no
 *   tensor has, and for encryption.
 */
export function readNpz(path: string, { names }: { names?: readonly string[] } = {}): Promise<Map<string, Tensor>> {
  return withFile(path, async (file, size) => {
    const members = await readZipDirectory(path, file, size)
    const known = [...members.keys()].flatMap((name) => (name.endsWith('.npy') ? [name.slice(0, -4)] : []))
    const tensors = new Map<string, Tensor>()
    for (const name of names ?? known) {
      const member = members.get(`${name}.npy`)
      if (!member) throw dataCorrupt(path, `has no array "${name}"`, `It has: ${known.join(', ')}.`)
      const where = `${path}: array "${name}"`
      const bytes = new ByteReader(where, readZipMember(where, file, member))
      tensors.set(name, await readNpyFrom(where, bytes, member.size))
    }
    return tensors
  })
}

/** Where the elements of an array lie in a .npz file that stores it as it is, rows first. */
export interface StoredArray {
  /** NumPy's name of the type. */
  readonly type: string
  readonly shape: readonly number[]
  /** The byte of the file at which its elements begin. */
  readonly begin: number
}

/** The place of an array, so that parts of it can be read; undefined where it is deflated or has its columns first. */
export function findStored(path: string, name: string): Promise<StoredArray | undefined> {
  return withFile(path, async (file, size) => {
    const member = (await readZipDirectory(path, file, size)).get(`${name}.npy`)
    if (member?.method !== 0) return undefined
    const where = `${path}: array "${name}"`
    const begin = await memberBegin(where, file, member)
    const bytes = new ByteReader(where, bytesOfFile(file, begin, begin + member.size))
    const { type, shape, fortranOrder, before } = await readNpyHeader(where, bytes, member.size)
    return fortranOrder && shape.length > 1 ? undefined : { type: type.name, shape, begin: begin + before }
  })
}

/**
 * Writes a .npz file that appears whole; at most one tensor is copied at a time. `compress` deflates, as
 * `numpy.savez_compressed`; weights and embeddings hardly shrink.
 *
 * @throws ERR_DATA when it cannot be written; an old file is untouched then.
 */
export async function writeNpz(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | Record<string, Tensor>,
  { compress = false }: { compress?: boolean } = {},
): Promise<void> {
  const named: Iterable<[string, Tensor]> = tensors instanceof Map ? tensors : Object.entries(tensors)
  const members = async function* (): AsyncGenerator<{ name: string; pieces: Uint8Array[] }> {
    for (const [name, tensor] of named) yield { name: `${name}.npy`, pieces: await npyBytes(tensor) }
  }
  try {
    await replaceFile(path, (file) => writeZip(file, members(), { compress }))
  } catch (cause) {
    if (errorCode(cause) !== undefined) throw cause
    throw new SptError('ERR_DATA', `${path}: cannot be written (${reason(cause)})`, { cause })
  }
}
