/** Which device `spt` takes, in processes of their own with one, two or no drivers: what was asked for, or an error. */
import { copyFile, mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { gpuAdapters } from '../../src/tensor/index.js'
import { type Finished, spt, tiny } from './process.js'

const LIMIT = 120_000
const drivers = '/usr/share/vulkan/icd.d'

let folder: string
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'spt-device-'))))
afterAll(() => rm(folder, { recursive: true }))

/** The environment of a machine with these Vulkan drivers. */
const only = (...files: string[]) => ({ VK_ICD_FILENAMES: files.join(':'), VK_DRIVER_FILES: files.join(':') })
const run = async (changes: string[], env: NodeJS.ProcessEnv): Promise<Finished> =>
  spt(['run', tiny, `cache_dir=${folder}`, 'logger=csv', ...changes], { env })

test(
  'without a driver a GPU is an error that says what is missing, not a run on the CPU',
  { timeout: LIMIT },
  async () => {
    const { status, output } = await run(['device=gpu'], only(join(folder, 'none.json')))
    expect(status).toBe(1)
    expect(output).toMatch(
      /error \[ERR_DEVICE\] no GPU: no Vulkan, Metal or DX12 driver.*On Linux a GPU needs its Vulkan driver/s,
    )
  },
)

test('SPT_DEVICE that is no device is told by its name', { timeout: LIMIT }, async () => {
  const { status, output } = await run([], { SPT_DEVICE: 'tpu' })
  expect(status).toBe(1)
  expect(output).toMatch(/error \[ERR_ARGUMENT\] SPT_DEVICE: expected auto, cpu, gpu.*"tpu"/)
})

const lavapipe = (await readdir(drivers).catch(() => [] as string[])).find((file) => file.startsWith('lvp_icd'))
const there = lavapipe !== undefined && gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no software driver (Debian: mesa-vulkan-drivers)')

describe.skipIf(!there)('of two adapters', () => {
  let two: NodeJS.ProcessEnv
  beforeAll(async () => {
    const [first, second] = [join(folder, 'first.json'), join(folder, 'second.json')]
    for (const path of [first, second]) await copyFile(join(drivers, lavapipe as string), path)
    two = only(first, second)
  })

  test('SPT_DEVICE takes the second; it is named, and that it is software', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['trainer.max_steps=2'], { ...two, SPT_DEVICE: 'gpu:1' })
    expect(output).toMatch(/device: gpu:1 \(llvmpipe .*it is a software driver, slower than device: cpu\)/)
    expect(status).toBe(0)
  })

  test('a third is not there, which says which are', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['device=gpu:2'], two)
    expect(status).toBe(1)
    expect(output).toMatch(/no GPU "2"; there are gpu:0 llvmpipe .* \(software\), gpu:1 llvmpipe .* \(software\)/)
  })

  test('compiled kernels are kept where SPT_GPU_CACHE says, and found there', { timeout: LIMIT }, async () => {
    const cache = join(folder, 'kernels')
    const train = () => run(['device=gpu', 'trainer.max_epochs=3'], { ...two, SPT_GPU_CACHE: cache })
    expect((await train()).status).toBe(0)
    const files = await readdir(cache)
    expect(files).toEqual([expect.stringMatching(/^gpu-[0-9a-f]{16}\.pipelines$/)])
    await truncate(join(cache, files[0]!), 20) // as if the disk had been full
    expect((await train()).status).toBe(0)
    const { output } = await spt(['doctor'], { env: { ...two, SPT_GPU_CACHE: cache } })
    expect(output).toMatch(new RegExp(`gpu cache +${cache}\n`))
  })

  test('spt doctor lists both with what they allow', { timeout: LIMIT }, async () => {
    const { status, output } = await spt(['doctor'], { env: two })
    expect(status).toBe(0)
    for (const name of ['gpu:0', 'gpu:1'])
      expect(output).toMatch(new RegExp(`device +${name}: llvmpipe .*, vulkan, software`))
    expect(output).toMatch(/MiB and \d+ tensors a kernel, \d+ KiB a workgroup; has .*timestamps/)
  })
})
