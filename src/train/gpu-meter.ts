/** Counts what a GPU does in training steps, for a profile. */
import {
  type DeviceName,
  type GpuStatistics,
  gpuStatistics,
  type GpuWork,
  setKernelTiming,
  takeKernelTimes,
} from '../tensor/index.js'

const counted = [
  'dispatches',
  'submissions',
  'pipelines',
  'readBytes',
  'writtenBytes',
  'uploadedBytes',
  'downloadedBytes',
] as const satisfies ReadonlyArray<keyof GpuStatistics & keyof GpuWork>

type Counted = (typeof counted)[number]

function each(value: (name: Counted) => number): Record<Counted, number> {
  return Object.fromEntries(counted.map((name) => [name, value(name)])) as Record<Counted, number>
}

/** Counts what a GPU does from now on, kernels one by one where the adapter has timestamps. */
export class GpuMeter {
  readonly #device: DeviceName
  #before: GpuStatistics

  constructor(device: DeviceName) {
    this.#device = device
    setKernelTiming(device, true)
    takeKernelTimes(device)
    this.#before = gpuStatistics(device)
  }

  /** What was done since the last call; waits for the GPU. */
  take(): GpuWork {
    const kernels = takeKernelTimes(this.#device)
    const now = gpuStatistics(this.#device)
    const before = this.#before
    this.#before = now
    return { device: this.#device, ...each((name) => now[name] - before[name]), kernels }
  }

  stop(): void {
    setKernelTiming(this.#device, false)
  }
}

/** Two stretches of work together. */
export function addGpuWork(a: GpuWork, b: GpuWork): GpuWork {
  const kernels = new Map(a.kernels.map((kernel) => [kernel.name, kernel]))
  for (const { name, dispatches, seconds } of b.kernels) {
    const known = kernels.get(name)
    kernels.set(name, {
      name,
      dispatches: dispatches + (known?.dispatches ?? 0),
      seconds: seconds + (known?.seconds ?? 0),
    })
  }
  return {
    ...a,
    ...each((name) => a[name] + b[name]),
    kernels: [...kernels.values()].sort((x, y) => y.seconds - x.seconds),
  }
}
