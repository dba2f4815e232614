/** The training runs of methods that compare embeddings of views. */
import type { Tensor } from '../../src/tensor/index.js'
import type { Table } from './table.js'
import { trajectory } from './trajectory.js'

/** The linear classifier has another name there. */
const classifier = (name: string, state: ReadonlyMap<string, Tensor>) => state.get(name.replace(/^fc\./, 'classifier.'))

export const train: Table = {
  byol: trajectory({ method: 'byol' }),
  simclr: trajectory({ method: 'simclr' }),
  simclr_sgd: trajectory({ method: 'simclr' }),
  supervised: trajectory({
    method: 'supervised',
    config: ({ label_smoothing }) => ({ label_smoothing }),
    find: classifier,
  }),
}
