/**
 * Worker threads that run transforms written in TypeScript or JavaScript: each item goes to a worker by its number, and
 * results come back in order, so the number of workers changes the speed and nothing else.
 */
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { SptError, argumentInvalid } from '../errors.js'

/** What a function in a worker is called with, beside the value. */
interface Call {
  readonly value: unknown
  readonly index: number
  readonly epoch: number
  /** Four words of 32 bits that its random numbers follow from. */
  readonly seed: readonly number[]
}

interface Task {
  readonly module: string
  readonly export: string
  readonly options: unknown
}

type Answer = { readonly results: unknown[] } | { readonly failure: string; readonly index: number }

/** Plain JavaScript, so that it runs from TypeScript sources and from the built package alike; jiti loads the user's module. */
const program = `
const { parentPort, workerData } = require('node:worker_threads')
const { createJiti } = require(workerData.jiti)
const jiti = createJiti(workerData.base, { interopDefault: false })
const functions = new Map()
const load = async ({ module, export: name }) => {
  const key = module + '\\n' + name
  if (!functions.has(key)) {
    const loaded = await jiti.import(module)
    if (typeof loaded[name] !== 'function') {
      throw new Error(module + ' exports no function "' + name + '"; it has ' + (Object.keys(loaded).join(', ') || 'nothing'))
    }
    functions.set(key, loaded[name])
  }
  return functions.get(key)
}
// sfc32 (Chris Doty-Humphrey, PractRand): 32 bits a call from a state of four words.
const generator = ([a, b, c, d]) => () => {
  const sum = (((a + b) | 0) + d) | 0
  d = (d + 1) | 0
  a = b ^ (b >>> 9)
  b = (c + (c << 3)) | 0
  c = (((c << 21) | (c >>> 11)) + sum) | 0
  return (sum >>> 0) / 4294967296
}
parentPort.on('message', async ({ task, calls }) => {
  let index = calls[0] && calls[0].index
  try {
    const apply = await load(task)
    const results = []
    for (const call of calls) {
      index = call.index
      const random = generator(call.seed)
      for (let i = 0; i < 12; i++) random()
      results.push(await apply(call.value, { options: task.options, index, epoch: call.epoch, random }))
    }
    parentPort.postMessage({ results })
  } catch (error) {
    parentPort.postMessage({ failure: String((error && error.message) || error), index })
  }
})
`

/** One thread, which does one list of calls at a time. */
class Thread {
  readonly #worker: Worker
  #turn: Promise<unknown> = Promise.resolve()

  constructor() {
    const jiti = createRequire(import.meta.url).resolve('jiti')
    this.#worker = new Worker(program, { eval: true, workerData: { jiti, base: import.meta.url } })
    // A thread that waits keeps no process alive.
    this.#worker.unref()
    this.#worker.setMaxListeners(0)
  }

  run(task: Task, calls: readonly Call[]): Promise<Answer> {
    const answer = this.#turn.then(() => this.#ask(task, calls))
    this.#turn = answer.catch(() => undefined)
    return answer
  }

  #ask(task: Task, calls: readonly Call[]): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const worker = this.#worker
      const settle =
        <T>(finish: (value: T) => void) =>
        (value: T) => {
          worker.off('message', answered).off('error', failed).off('exit', exited)
          worker.unref()
          finish(value)
        }
      const answered = settle<Answer>(resolve)
      const failed = settle<Error>(reject)
      const exited = settle<number>((code) => reject(new Error(`the worker ended with code ${code}`)))
      worker.ref()
      worker.once('message', answered).once('error', failed).once('exit', exited)
      try {
        worker.postMessage({ task, calls })
      } catch (cause) {
        failed(cause as Error)
      }
    })
  }
}

const threads: Thread[] = []

/** Results of a function for a batch, in order. ERR_DATA names the sample at which it failed. */
export async function runInWorkers(task: Task, calls: readonly Call[]): Promise<unknown[]> {
  const wanted = Math.min(calls.length, Math.max(1, availableParallelism()))
  while (threads.length < wanted) threads.push(new Thread())
  const { module, export: name, options } = task
  const share = Math.ceil(calls.length / wanted)
  const parts = Array.from({ length: wanted }, (_, i) => calls.slice(i * share, (i + 1) * share))
  const answers = await Promise.all(
    parts.map((part, i) => (threads[i] as Thread).run({ module, export: name, options }, part).catch(crashed(task, i))),
  )
  return answers.flatMap((answer) => {
    if ('results' in answer) return answer.results
    throw new SptError('ERR_DATA', `sample ${answer.index}: ${name} of ${module}: ${answer.failure}`)
  })
}

/** A thread that ended, or was given what cannot be cloned, is replaced at its next use. */
function crashed({ module, export: name }: Task, i: number): (cause: Error) => never {
  return (cause) => {
    threads[i] = new Thread()
    if (cause.name === 'DataCloneError')
      throw argumentInvalid(`${name} of ${module}`, 'values that can be cloned', cause.message)
    throw new SptError('ERR_DATA', `${name} of ${module}: ${cause.message}`, { cause })
  }
}
