/** The vote of nearest neighbours against a full queue, as the callback `online-knn` asks for it in validation. */
import * as sp from 'stable-pretraining'
import type { Case } from '../harness/cases.js'
import type { Work } from './program.js'

export function neighbours({ rows, dim, queries }: Case & { kind: 'knn' }): Work {
  const [queue, batch] = [sp.randn([rows, dim]), sp.randn([queries, dim])]
  const label = sp.randint(0, 10, [rows])
  return { run: () => sp.scope(() => sp.nearestNeighbourScores(batch, queue, label, 10, { k: 10 })) }
}
