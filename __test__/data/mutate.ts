/** Damage as disks and networks do it: bits flipped, bytes overwritten, a stretch cut, repeated or removed, numbers made huge. */
import { Philox } from '../../src/data/random-order.js'
import { SptError } from '../../src/errors.js'

/** `count` damaged versions of `bytes`, the same for the same seed. */
export function* mutated(bytes: Uint8Array, count: number, seed: number): Generator<Uint8Array> {
  const random = Philox.of(seed)
  for (let i = 0; i < count; i++) {
    let damaged = Uint8Array.from(bytes)
    for (let hits = random.below(4) + 1; hits > 0; hits--) damaged = damage(damaged, random)
    yield damaged
  }
}

function damage(bytes: Uint8Array<ArrayBuffer>, random: Philox): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0) return bytes
  // Headers stand at both ends: every other hit lies there.
  const spot = random.below(4)
  const near = Math.min(bytes.length, 300)
  const at =
    spot === 0 ? random.below(near) : spot === 1 ? bytes.length - 1 - random.below(near) : random.below(bytes.length)
  const length = Math.min(bytes.length - at, random.below(32) + 1)
  switch (random.below(7)) {
    case 0:
      bytes[at]! ^= 1 << random.below(8)
      return bytes
    case 1:
      bytes[at] = random.below(256)
      return bytes
    case 2:
      bytes.fill(0xff, at, at + Math.min(length, 8))
      return bytes
    case 3:
      bytes.fill(0, at, at + length)
      return bytes
    case 4:
      return bytes.slice(0, at)
    case 5:
      return new Uint8Array([...bytes.subarray(0, at + length), ...bytes.subarray(at)])
    default:
      return new Uint8Array([...bytes.subarray(0, at), ...bytes.subarray(at + length)])
  }
}

/** How often `read` succeeded and failed; anything but an error with a code of ours ends the test. */
export async function survives(
  versions: Iterable<Uint8Array>,
  read: (bytes: Uint8Array) => Promise<void>,
): Promise<{ read: number; refused: number }> {
  const counts = { read: 0, refused: 0 }
  for (const bytes of versions) {
    try {
      await read(bytes)
      counts.read++
    } catch (error) {
      if (!(error instanceof SptError) || !['ERR_DATA', 'ERR_UNSUPPORTED', 'ERR_ARGUMENT'].includes(error.code))
        throw error
      counts.refused++
    }
  }
  return counts
}
