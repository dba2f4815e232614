/** `spt doctor`: whether this machine can train, and with what. */
import { createRequire } from 'node:module'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { nativeMissing } from '../errors.js'
import type { GpuAdapter } from '../native.js'
import { packageVersion } from '../runs/package-version.js'

export async function doctor({ json }: { json: boolean }): Promise<number> {
  const { cpuInfo, gpuAdapters, gpuCacheFolder, operationsOnCpu, operationsWithoutGpu } =
    await import('../native.js').catch((cause: unknown) => {
      throw nativeMissing(cause)
    })
  const core = cpuInfo()
  const found = {
    package: packageVersion(),
    core: core.version,
    node: process.version,
    platform: `${process.platform}-${process.arch} ${release()}`,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    devices: [{ name: 'cpu', instructionSet: core.instructionSet, available: core.available, threads: core.threads }],
    gpus: gpuAdapters(),
    gpuCache: gpuCacheFolder,
    operationsWithoutGpu: operationsWithoutGpu(),
    operationsOnCpu: operationsOnCpu(),
    binding: bindingPath(),
  }
  console.log(json ? JSON.stringify(found, null, 2) : describe(found))
  return 0
}

interface Findings {
  package: string
  core: string
  node: string
  platform: string
  processor: string
  cores: number
  memoryGiB: number
  devices: readonly { name: string; instructionSet: string; available: readonly string[]; threads: number }[]
  gpus: readonly GpuAdapter[]
  /** Where compiled kernels are kept; empty: nowhere. */
  gpuCache: string
  /** Operations that a GPU refuses. */
  operationsWithoutGpu: readonly string[]
  /** Operations that take a GPU's tensors to the CPU and back. */
  operationsOnCpu: readonly string[]
  binding: string
}

function describe(found: Findings): string {
  const devices = found.devices.map(({ name, instructionSet, available, threads }) => {
    const others = available.filter((other) => other !== instructionSet)
    return [
      'device',
      `${name}: ${instructionSet}${others.length === 0 ? '' : ` (also ${others.join(', ')})`}, ${threads} threads`,
    ]
  })
  const gpus = found.gpus.flatMap((gpu) => {
    const { device, name, backend, kind, driver } = gpu
    const note = kind === 'software' ? ': for tests, slower than cpu' : ''
    return [
      ['device', `${device}: ${name}, ${backend}, ${kind}${note}${driver === '' ? '' : ` (${driver})`}`],
      ['', `  ${limitsOf(gpu)}`],
    ]
  })
  if (gpus.length === 0)
    gpus.push(['gpu', 'none: no Vulkan, Metal or DX12 driver offers one (in containers: NVIDIA_DRIVER_CAPABILITIES)'])
  const missing = found.operationsWithoutGpu
  const rows = [
    ['stable-pretraining', `${found.package}, native core ${found.core}`],
    ['node', found.node],
    ['platform', found.platform],
    ['processor', `${found.processor}, ${found.cores} cores`],
    ['memory', `${found.memoryGiB} GiB`],
    ...devices,
    ...gpus,
    ['gpu operations', missing.length === 0 ? 'all' : `all but ${missing.join(', ')}`],
    ['by way of the cpu', found.operationsOnCpu.join(', ')],
    ['gpu cache', found.gpuCache || 'none (SPT_GPU_CACHE is empty)'],
    ['loaded from', found.binding],
  ]
  return rows.map(([name = '', value = '']) => `${name.padEnd(20)}${value}`).join('\n')
}

/** What an adapter allows, and which of the features it has that are used where they are. */
function limitsOf({ bufferBytes, bindingBytes, bindings, workgroupBytes, features }: GpuAdapter): string {
  const has = features.length === 0 ? 'neither f16, subgroups nor timestamps' : features.join(', ')
  const [buffer, binding, workgroup] = [bufferBytes, bindingBytes, workgroupBytes].map(size)
  return `${buffer} a tensor, ${binding} and ${bindings} tensors a kernel, ${workgroup} a workgroup; has ${has}`
}

const size = (bytes: number): string =>
  bytes >= 2 ** 30
    ? `${+(bytes / 2 ** 30).toFixed(1)} GiB`
    : bytes >= 2 ** 20
      ? `${+(bytes / 2 ** 20).toFixed(1)} MiB`
      : `${bytes / 1024} KiB`

/** Node keeps what `require` has loaded under its path; the generated loader does not tell which file it took. */
function bindingPath(): string {
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  return loaded.find((path) => path.endsWith('.node') && path.includes('stable-pretraining')) ?? 'unknown'
}
