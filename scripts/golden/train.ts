/** The training runs of methods that compare embeddings of views. */
import { cat, type Tensor } from '../../src/tensor/index.js'
import type { Table } from './table.js'
import { trajectory } from './trajectory.js'

/** The linear classifier has another name there. */
const classifier = (name: string, state: ReadonlyMap<string, Tensor>) => state.get(name.replace(/^fc\./, 'classifier.'))

/** The reference keeps the queue in one buffer, here it is in two parts. */
const queue = (loss: string) => (name: string, state: ReadonlyMap<string, Tensor>) => {
  const parts = ['front', 'back'].flatMap((part) => state.get(`${loss}.queue.${part}`) ?? [])
  return name === 'queue.out' && parts.length > 0 ? cat(parts, 0) : undefined
}

export const train: Table = {
  barlow_twins: trajectory({ method: 'barlow-twins' }),
  byol: trajectory({ method: 'byol' }),
  mocov2: trajectory({ method: 'moco-v2', find: queue('moco_loss') }),
  mocov3: trajectory({ method: 'moco-v3' }),
  nnclr: trajectory({ method: 'nnclr', find: queue('nnclr_loss') }),
  simclr: trajectory({ method: 'simclr' }),
  simclr_sgd: trajectory({ method: 'simclr' }),
  simsiam: trajectory({ method: 'simsiam' }),
  supervised: trajectory({
    method: 'supervised',
    config: ({ label_smoothing }) => ({ label_smoothing }),
    find: classifier,
  }),
  tico: trajectory({
    method: 'tico',
    find: (name, state) => (name === 'C' ? state.get('tico_loss.covariance') : undefined),
  }),
  vicreg: trajectory({ method: 'vicreg' }),
  wmse: trajectory({ method: 'w-mse' }),
}
