/** Where a run computes: which device a name means, and how its networks and batches get there. */
import { type Batch, type BatchSource } from '../data/index.js'
import { type DeviceName, gpuAdapters, setDefaultDevice, Tensor } from '../tensor/index.js'

/**
 * The full name of a device, which is opened: `gpu` becomes `gpu:0`. `auto` is the CPU.
 *
 * @throws ERR_DEVICE when there is no such GPU, ERR_ARGUMENT when the name is none.
 */
export function openDevice(name: DeviceName | 'auto'): DeviceName {
  const before = setDefaultDevice('cpu')
  try {
    return setDefaultDevice(name === 'auto' ? 'cpu' : name) as DeviceName
  } finally {
    setDefaultDevice(before as DeviceName)
  }
}

/** Says what a run computes on where that is a GPU, and what of its batches is made elsewhere. */
export function tellDevice(
  device: DeviceName,
  sources: readonly (BatchSource | undefined)[],
  print: (line: string) => void,
): void {
  if (device === 'cpu') return
  print(`device: ${describeDevice(device)}`)
  const transforms = sources.flatMap((source) => source?.batchTransform ?? [])
  for (const { constructor } of transforms.filter(({ anyDevice }) => anyDevice !== true))
    print(`batch_transform: ${constructor.name} works on the CPU; it and what stands before it are done there`)
}

/** What a device is, with the reason to look twice where that is a GPU in name only. */
export function describeDevice(device: DeviceName): string {
  const adapter = gpuAdapters().find((found) => found.device === device)
  if (adapter === undefined) return device
  const software = adapter.software ? '; it is a software driver, slower than device: cpu' : ''
  return `${device} (${adapter.name}, ${adapter.backend}${software})`
}

/** A batch with its tensors on a device, however deep; itself where they are there already. */
export function moveBatch(batch: Batch, device: DeviceName): Batch {
  return device === 'cpu' ? batch : (moved(batch, device) as Batch)
}

function moved(value: unknown, device: DeviceName): unknown {
  if (value instanceof Tensor) return value.to(device)
  if (Array.isArray(value)) return value.map((item) => moved(item, device))
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, moved(item, device)]))
}
