/** Whether the training data has the views that its method needs, said before anything is trained. */
import { isMultiView, type MultiView, type Transform } from '../data/index.js'
import { SptError } from '../errors.js'
import type { MethodTraits } from '../plugin/contracts.js'

/** @throws ERR_CONFIG with the transform that makes the method's views. */
export function checkViews(
  { name, needs, recipe }: Partial<MethodTraits> & { name: string },
  transform: Transform | MultiView | undefined,
): void {
  if (needs === undefined) return
  const given = transform !== undefined && isMultiView(transform) ? Object.keys(transform.views).length : 1
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
