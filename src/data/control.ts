/** Transforms that decide which others are done to a sample, where, and by which random numbers. */
import { argumentInvalid } from '../errors.js'
import { isImageStep } from './image-steps.js'
import { chain, type MultiView, type SampleValues, type Step, type StepContext, type Transform } from './transform.js'

/** Transforms one after another, as torchvision's Compose. */
export class Compose implements Transform {
  readonly steps: readonly Step[]

  constructor(...transforms: readonly (Transform | MultiView)[]) {
    this.steps = chain(transforms).steps
  }
}

/**
 * A function as a transform. It runs on the main thread and holds up the event loop, training included, for as long as it
 * takes; `WorkerTransform` does not. An image reaches it as `{pixels, width, height, channels}` (or `{encoded}` where no step
 * has decoded it), and may come back so.
 */
export class Lambda implements Transform {
  readonly steps: readonly Step[]

  /** `source`: the path of the value it is given; the whole sample where there is none. */
  constructor(
    apply: (value: never, context: StepContext) => unknown,
    { source, target }: { source?: string; target?: string } = {},
  ) {
    const place = { ...(source !== undefined && { source }), ...(target !== undefined && { target }) }
    this.steps = [{ type: 'lambda', apply: apply as (value: unknown, context: StepContext) => unknown, ...place }]
  }
}

/**
 * An exported function of a module, run in worker threads: `(value, {options, index, epoch, random}) => value`, `random()`
 * giving numbers in [0, 1) that depend on (seed, epoch, index, view, step) alone. It is given pixels, never a file.
 */
export class WorkerTransform implements Transform {
  readonly steps: readonly Step[]

  constructor(
    module: string,
    {
      export: name = 'default',
      options = {},
      source = 'image',
      target = source,
    }: { export?: string; options?: unknown; source?: string; target?: string } = {},
  ) {
    this.steps = [{ type: 'worker', module, export: name, options, source, target }]
  }
}

/** Done where `sample[conditionKey]` is true (or false); a path such as `RandomHorizontalFlip` names what was drawn before. */
export class Conditional implements Transform {
  readonly steps: readonly Step[]

  constructor(transform: Transform | MultiView, conditionKey: string, applyOnTrue = true) {
    this.steps = [{ type: 'conditional', steps: chain([transform]).steps, key: conditionKey, applyOnTrue }]
  }
}

/** The same random numbers for a sample whatever the epoch and the view: they follow from `sample[key] + seedOffset`. */
export class ControlledTransform implements Transform {
  readonly steps: readonly Step[]

  constructor(
    transform: Transform | MultiView,
    { seedOffset = 0, key = 'index' }: { seedOffset?: number; key?: string } = {},
  ) {
    if (!Number.isSafeInteger(seedOffset) || seedOffset < 0) {
      throw argumentInvalid('ControlledTransform seedOffset', 'a whole number from 0', seedOffset)
    }
    this.steps = [{ type: 'controlled', steps: chain([transform]).steps, key, seedOffset }]
  }
}

/** Each sample goes by the transform that `router` names. */
export class RoutingTransform implements Transform {
  readonly steps: readonly Step[]

  constructor(
    router: (sample: SampleValues) => string | number,
    transforms: readonly Transform[] | { readonly [name: string]: Transform },
  ) {
    const routes = Object.fromEntries(Object.entries(transforms).map(([name, { steps }]) => [name, steps]))
    this.steps = [{ type: 'routing', route: router, routes }]
  }
}

/** One transform a view: the first view of a sample by the first, the second by the second; see RepeatedRandomSampler. */
export class RoundRobinMultiViewTransform implements Transform {
  readonly steps: readonly Step[]

  constructor(transforms: readonly Transform[]) {
    if (transforms.length === 0) {
      throw argumentInvalid('RoundRobinMultiViewTransform', 'at least one transform', transforms)
    }
    this.steps = [{ type: 'round-robin', transforms }]
  }
}

/** Another transform at another place of the sample. */
export class WrapTorchTransform implements Transform {
  readonly steps: readonly Step[]

  constructor(
    transform: Transform,
    { source = 'image', target = source }: { source?: string | string[]; target?: string | string[] } = {},
  ) {
    this.steps = transform.steps.map((step, at) => {
      if (!isImageStep(step)) {
        throw argumentInvalid('WrapTorchTransform', 'a transform of images alone', step.type)
      }
      // The first step takes the image from its place; those after it find it where the result goes.
      return { ...step, source: at === 0 ? source : target, target }
    })
  }
}
