/** Frees the tensors that nobody holds any more, so that a count of live buffers says who keeps what. */
import { setImmediate } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** A tensor's memory goes in a turn of the event loop after it was collected, and may let go of others. */
export async function collectGarbage(): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let round = 0; round < 3; round++) {
    collect()
    await setImmediate()
  }
}
