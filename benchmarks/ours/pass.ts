/** One pass of a loader, all of whose images have to come. */
import * as sp from 'stable-pretraining'
import type { Work } from './program.js'

export function passOf(loader: sp.DataLoader, name: string, length: number): Work {
  return {
    async run() {
      let images = 0
      for await (const batch of loader) {
        images += batch.image?.shape[0] ?? 0
        sp.disposeBatch(batch)
      }
      if (images !== length) throw new Error(`${name}: ${images} images of ${length}`)
    },
  }
}
