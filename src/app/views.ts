/** Whether the training data has the views that its method needs, said before anything is trained. */
import { viewCount, type DataLoader } from '../data/index.js'
import { SptError } from '../errors.js'
import type { MethodTraits } from '../plugin/contracts.js'

/** @throws ERR_CONFIG with the transform that makes the method's views. */
export function checkViews(
  { name, needs, recipe }: Partial<MethodTraits> & { name: string },
  { transform = { steps: [] }, batchTransform = [] }: Pick<DataLoader, 'transform' | 'batchTransform'>,
): void {
  if (needs === undefined) return
  const given = batchTransform.find((of) => of.views !== undefined)?.views ?? viewCount(transform)
  if (given === undefined) return
  const { views } = needs
  const enough = given >= (views === 'multi-crop' ? 2 : views)
  if (enough) return
  const wanted = views === 'multi-crop' ? 'crops of several sizes' : `${views} views`
  throw new SptError(
    'ERR_CONFIG',
    `method ${name} needs ${wanted} of each training image, but data.train makes ${given}`,
    {
      hint:
        recipe === undefined
          ? 'Write data.train.transform: {type: multi-view, views: […]}.'
          : `Its paper's: data.train.transform: {type: ${recipe}, size: …}; or one of your own of type multi-view.`,
    },
  )
}
