/**
 * Transforms that are more than a list of native steps: other places of a sample, conditions, routes, functions, masks.
 * All samples of a batch go through a step together; runs of steps on images are one native call off the event loop.
 */
import { SptError, argumentInvalid, errorCode, reason, show } from '../errors.js'
import { transformImages } from '../native.js'
import { Generator } from '../tensor/index.js'
import type { Batch } from './data-loader.js'
import { gather } from './gather.js'
import { isImageStep, type ImageStep } from './image-steps.js'
import { chooseFrames, framesOf, inMemory, isClip, restored } from './clip.js'
import { setPath, valueAt } from './paths.js'
import {
  batchImage,
  buildPipeline,
  isFloatImage,
  sampleFailed,
  type BatchPlace,
  type BuiltPipeline,
  type FloatImage,
} from './native-pipeline.js'
import { isDrawn, layout, uniqueKey, zeroDrawn } from './records.js'
import type { Sample } from './sample.js'
import type { Drawn, MultiView, SampleValues, Step, StepContext, Transform } from './transform.js'
import { runInWorkers } from './transform-workers.js'

/** A sample on its way: what it holds, and its place in the batch. */
interface Traveller {
  readonly sample: Sample
  readonly values: SampleValues
  /** Number among the samples of the epoch. */
  readonly position: number
  /** What decides, beside seed and epoch, what is drawn for it. */
  readonly number: number
}

/** Which random numbers steps take: those of the batch, or under ControlledTransform of the sample alone. */
interface Course extends BatchPlace {
  readonly view: number
  /** Instead of seed, epoch and index. */
  readonly controlled?: { readonly key: string; readonly seedOffset: number }
}

type Runner = (travellers: readonly Traveller[], course: Course) => Promise<void>

/** Compiles steps once; the result makes batches. */
export function runSteps(steps: readonly Step[]): (samples: readonly Sample[], place: BatchPlace) => Promise<Batch> {
  const run = compile(steps, { segments: 0 })
  return async (samples, place) => {
    const travellers = samples.map((sample, i) => ({
      sample,
      values: { ...sample },
      position: place.start + i,
      number: place.numbers?.[i] ?? sample.index,
    }))
    await run(travellers, { ...place, view: 0 })
    return (await gather(travellers.map(({ values }) => values))) as Batch
  }
}

/** Steps one after the other. `counter` numbers the places where numbers are drawn, so that each has its own. */
function compile(steps: readonly Step[], counter: { segments: number }): Runner {
  const runners: Runner[] = []
  for (let at = 0; at < steps.length;) {
    const step = steps[at] as Step
    if (!isImageStep(step)) {
      runners.push(compileSample(step, counter))
      at++
      continue
    }
    const group = imageGroup(steps, at)
    runners.push(compileImages(group, counter.segments++))
    at += group.length
  }
  return async (travellers, course) => {
    if (travellers.length === 0) return
    for (const run of runners) await run(travellers, course)
  }
}

/** The steps from `at` on that go together: same source and target, or the target of those before as source and target. */
function imageGroup(steps: readonly Step[], at: number): ImageStep[] {
  const group: ImageStep[] = []
  for (const step of steps.slice(at)) {
    if (!isImageStep(step)) break
    const [first] = group
    if (first !== undefined) {
      const follows =
        sourcesOf(step).join() === targetsOf(first).join() && targetsOf(step).join() === targetsOf(first).join()
      if (!follows) break
    }
    group.push(step)
  }
  return group
}

const sourcesOf = ({ source = 'image' }: ImageStep): readonly string[] => [source].flat()
const targetsOf = (step: ImageStep): readonly string[] => [step.target ?? step.source ?? 'image'].flat()

function compileImages(steps: readonly ImageStep[], segment: number): Runner {
  const [sources, targets] = [sourcesOf(steps[0] as ImageStep), targetsOf(steps[0] as ImageStep)]
  if (sources.length !== targets.length) {
    throw argumentInvalid('transform target', `as many paths as sources (${sources.join(', ')})`, targets)
  }
  const bytes = buildPipeline(steps, { floats: false })
  // Built when floats are met: a threshold for bytes may be none for floats.
  let floats: BuiltPipeline | undefined
  const forFloats = () => (floats ??= buildPipeline(withoutToImage(steps), { floats: false, fromFloats: true }))
  return async (travellers, course) => {
    for (const [which, source] of sources.entries()) {
      const given = travellers.map(({ values, sample }) => valueAt(values, source, sample.index))
      // The frames of a clip share what is drawn.
      const { images, owners } = framesOf(given)
      const own = owners.map((owner) => travellers[owner] as Traveller)
      const { pipeline, keys } = isFloatImage(images[0]) ? forFloats() : bytes
      const { images: made, failure } = await transformImages(
        images.map((image, i) => batchImage(image, own[i]?.sample.index ?? 0)),
        pipeline,
        ...streamOf(own, course, segment),
      )
      if (failure)
        throw sampleFailed(
          failure,
          own.map(({ sample }) => sample),
        )
      const done = made.map(inMemory)
      for (const [i, value] of restored(done, owners, given).entries()) {
        const { values } = travellers[i] as Traveller
        setPath(values, targets[which] as string, value)
        // Sources that go together share what is drawn.
        if (which > 0) continue
        const { record, recorded } = made[owners.indexOf(i)] as (typeof made)[number]
        putDrawn(values, drawnOf(record, layout(recorded, keys, keysOf(values))))
      }
    }
  }
}

const withoutToImage = (steps: readonly ImageStep[]) => steps.filter(({ type }) => type !== 'to-image')
const keysOf = (values: SampleValues): Set<string> => new Set(Object.keys(values))

function drawnOf(record: Float64Array, places: ReturnType<typeof layout>): Record<string, Drawn> {
  const entries = places.map(({ key, at, count, shape, flags }) => {
    const numbers = record.subarray(at, at + count)
    return [key, { data: flags ? Uint8Array.from(numbers) : Float32Array.from(numbers), shape, bool: flags }] as const
  })
  return Object.fromEntries(entries)
}

function putDrawn(values: SampleValues, drawn: Record<string, Drawn>): void {
  Object.assign(values, drawn)
}

/** seed, epoch, samples and view of a native call. */
function streamOf(
  travellers: readonly Traveller[],
  { seed, epoch, view, controlled }: Course,
  segment: number,
): [seed: number, epoch: number, samples: number[], view: number] {
  // The first steps of a view take the numbers that they would take without the others.
  const stream = view + segment * viewLimit
  if (controlled === undefined) return [seed, epoch, travellers.map(({ number }) => number), stream]
  const numbers = travellers.map(({ values, sample }) => numberAt(values, controlled.key, sample.index))
  return [controlled.seedOffset, fixedEpoch, numbers, segment * viewLimit]
}

/** More views than anybody makes; a segment's streams lie this far apart. */
const viewLimit = 4096
/** An epoch that no run reaches: controlled numbers are no epoch's. */
const fixedEpoch = 2 ** 32 - 1

function numberAt(values: SampleValues, key: string, index: number): number {
  const value = valueAt(values, key, index)
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new SptError(
    'ERR_DATA',
    `sample ${index}: ControlledTransform needs a whole number as ${key}, found ${show(value)}`,
  )
}

function generatorOf(traveller: Traveller, course: Course, segment: number): Generator {
  const [seed, epoch, [number = 0], view] = streamOf([traveller], course, segment)
  const generator = new Generator(0)
  // A stream for each (number, view); the epoch turns the seed, so that none is met twice.
  const key = BigInt.asUintN(64, BigInt(seed) + (BigInt(epoch) + 1n) * 0x9e3779b97f4a7c15n)
  generator.setState({ seed: key, stream: (BigInt(number) << 24n) | BigInt(view), position: 0n })
  return generator
}

function compileSample(step: Exclude<Step, ImageStep>, counter: { segments: number }): Runner {
  switch (step.type) {
    case 'lambda':
      return compileLambda(step, counter.segments++)
    case 'worker':
      return compileWorker(step, counter.segments++)
    case 'draw':
      return compileDraw(step, counter.segments++)
    case 'frames':
      return compileFrames(step, counter.segments++)
    case 'conditional': {
      const run = compile(step.steps, counter)
      return (travellers, course) =>
        branch(travellers, course, [
          [run, ({ values, sample }) => truth(values, step.key, sample.index) === step.applyOnTrue],
        ])
    }
    case 'routing': {
      const runs = Object.entries(step.routes).map(([name, steps]) => [name, compile(steps, counter)] as const)
      return async (travellers, course) => {
        const names = new Map(travellers.map((traveller) => [traveller, String(step.route(traveller.values))]))
        for (const [{ sample }, name] of names) {
          if (!(name in step.routes)) {
            const known = Object.keys(step.routes).join(', ')
            throw new SptError('ERR_DATA', `sample ${sample.index}: the router says "${name}"; there are ${known}`)
          }
        }
        await branch(
          travellers,
          course,
          runs.map(([name, run]) => [run, (traveller) => names.get(traveller) === name]),
        )
      }
    }
    case 'controlled': {
      const { key, seedOffset } = step
      const run = compile(step.steps, counter)
      return (travellers, course) => run(travellers, { ...course, controlled: { key, seedOffset } })
    }
    case 'round-robin': {
      const runs = step.transforms.map(({ steps }) => compile(steps, counter))
      const turn = ({ sample, position }: Traveller) =>
        (typeof sample['viewIdx'] === 'number' ? sample['viewIdx'] : position) % runs.length
      return (travellers, course) =>
        branch(
          travellers,
          course,
          runs.map((run, i) => [run, (traveller) => turn(traveller) === i]),
        )
    }
    case 'views':
      return compileViews(step.views, counter)
  }
}

/** Each run takes the travellers that are its own; what it draws is zero for the others, so that a batch can be made of them. */
async function branch(
  travellers: readonly Traveller[],
  course: Course,
  runs: readonly (readonly [run: Runner, takes: (traveller: Traveller) => boolean])[],
): Promise<void> {
  for (const [run, takes] of runs) {
    const [own, others] = [travellers.filter(takes), travellers.filter((traveller) => !takes(traveller))]
    const [example] = own
    if (example === undefined) continue
    const before = keysOf(example.values)
    await run(own, course)
    for (const [key, value] of Object.entries(example.values)) {
      if (before.has(key) || !isDrawn(value)) continue
      for (const { values } of others) values[key] ??= zeroDrawn(value)
    }
  }
}

function truth(values: SampleValues, key: string, index: number): boolean {
  const value = valueAt(values, key, index)
  if (isDrawn(value)) return value.data.some((number) => Number(number) !== 0)
  return Boolean(value)
}

function compileViews(views: MultiView['views'], counter: { segments: number }): Runner {
  const start = counter.segments
  const runs = Object.values(views).map((view: Transform) => {
    // Views are told apart by their number, so each counts its segments from the same place.
    const own = { segments: start }
    const run = compile(view.steps, own)
    counter.segments = Math.max(counter.segments, own.segments)
    return run
  })
  return async (travellers, course) => {
    const copies = runs.map(() => travellers.map((traveller) => ({ ...traveller, values: { ...traveller.values } })))
    for (const [view, run] of runs.entries()) {
      await run(copies[view] as Traveller[], { ...course, view: course.view * runs.length + view })
    }
    for (const [i, { values }] of travellers.entries()) {
      delete values['image']
      const made = copies.map((copy) => copy[i]?.values)
      Object.assign(
        values,
        Array.isArray(views)
          ? { views: made }
          : Object.fromEntries(Object.keys(views).map((name, v) => [name, made[v]])),
      )
    }
  }
}

function compileLambda(step: Extract<Step, { type: 'lambda' }>, segment: number): Runner {
  const { source, target = source } = step
  return async (travellers, course) => {
    for (const traveller of travellers) {
      const { values, sample } = traveller
      const context = { index: sample.index, epoch: course.epoch, generator: generatorOf(traveller, course, segment) }
      const value = source === undefined ? values : valueAt(values, source, sample.index)
      const result = await applied(step, value, context)
      if (target !== undefined) setPath(values, target, result)
      else if (result !== values) replace(values, result, sample.index)
    }
  }
}

async function applied(
  step: Extract<Step, { type: 'lambda' }>,
  value: unknown,
  context: StepContext,
): Promise<unknown> {
  try {
    return await step.apply(value, context)
  } catch (cause) {
    const code = errorCode(cause) ?? 'ERR_DATA'
    throw new SptError(code, `sample ${context.index}: a Lambda failed: ${reason(cause)}`, { cause })
  }
}

function replace(values: SampleValues, result: unknown, index: number): void {
  if (typeof result !== 'object' || result === null || Array.isArray(result)) {
    throw new SptError('ERR_DATA', `sample ${index}: a Lambda gave ${show(result)}; it returns the sample, an object`)
  }
  for (const key of Object.keys(values)) delete values[key]
  Object.assign(values, result)
}

function compileWorker(step: Extract<Step, { type: 'worker' }>, segment: number): Runner {
  return async (travellers, course) => {
    const given = await decoded(travellers, step.source)
    const calls = given.map((value, i) => {
      const traveller = travellers[i] as Traveller
      const words = generatorOf(traveller, course, segment)
      const seed = Array.from({ length: 4 }, () => words.integer(2 ** 32 - 1))
      return { value, index: traveller.sample.index, epoch: course.epoch, seed }
    })
    const results = await runInWorkers(step, calls)
    for (const [i, result] of results.entries()) setPath((travellers[i] as Traveller).values, step.target, result)
  }
}

/** Values at a path, files among them (frames of clips too) decoded, since a worker has no decoder. */
async function decoded(travellers: readonly Traveller[], source: string): Promise<unknown[]> {
  const given = travellers.map(({ values: own, sample }) => valueAt(own, source, sample.index))
  const { images: values, owners } = framesOf(given)
  const isFile = (value: unknown) => typeof value === 'object' && value !== null && 'encoded' in value
  if (!values.some(isFile)) return given
  const { pipeline } = buildPipeline([], { floats: false })
  const files = owners.filter((_, i) => isFile(values[i])).map((owner) => travellers[owner] as Traveller)
  const { images, failure } = await transformImages(
    values.filter(isFile).map((file) => batchImage(file, 0)),
    pipeline,
    0,
    0,
    files.map(() => 0),
    0,
  )
  if (failure)
    throw sampleFailed(
      failure,
      files.map(({ sample }) => sample),
    )
  let next = 0
  const whole = values.map((value) => {
    if (!isFile(value)) return value
    return inMemory(images[next++] as (typeof images)[number])
  })
  return restored(whole, owners, given)
}

function compileDraw(step: Extract<Step, { type: 'draw' }>, segment: number): Runner {
  return async (travellers, course) => {
    for (const [i, image] of (await decoded(travellers, step.source)).entries()) {
      const traveller = travellers[i] as Traveller
      const { height, width } = (isClip(image) ? image[0] : image) as FloatImage
      const drawn = step.draw({ height, width }, generatorOf(traveller, course, segment))
      for (const [key, value] of Object.entries(drawn)) {
        traveller.values[uniqueKey(key, keysOf(traveller.values))] = value
      }
    }
  }
}

function compileFrames(step: Extract<Step, { type: 'frames' }>, segment: number): Runner {
  return async (travellers, course) => {
    for (const traveller of travellers) {
      const { values, sample } = traveller
      const clip = valueAt(values, step.source, sample.index)
      const { frames, drawn } = chooseFrames(step, clip, generatorOf(traveller, course, segment), sample.index)
      setPath(values, step.target, frames)
      for (const [key, value] of Object.entries(drawn)) values[uniqueKey(key, keysOf(values))] = value
    }
  }
}
