/** The profile by operation: what the core counts, the report and its table, and `spt run --profile`. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { main } from '../../src/cli/program.js'
import {
  gpuAdapters,
  mergeProfiles,
  profileReport,
  profileTable,
  randn,
  setProfiling,
  takeProfile,
  type ProfileEntry,
  type ProfileReport,
} from '../../src/index.js'
import { fixtures } from '../cli/process.js'

let folder: string
const printed: string[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-profile-'))
  vi.spyOn(console, 'error').mockImplementation((line: string) => void printed.push(line))
})
afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

test('the core counts while it is on, forward and backward apart', () => {
  expect(setProfiling(true)).toBe(false)
  const [a, b] = [randn([4, 8], { requiresGrad: true }), randn([8, 2], { requiresGrad: true })]
  a.matmul(b).sum().backward()
  expect(setProfiling(false)).toBe(true)
  a.matmul(b)
  const entries = takeProfile()
  const products = entries.filter(({ name, phase }) => name === 'matmul' && phase === 'forward')
  expect(products).toMatchObject([{ shapes: '4x8 8x2', calls: 1, operations: 2 * 4 * 8 * 2, bytes: 4 * (32 + 16 + 8) }])
  const inside = entries.filter(({ name, within }) => name === 'matmul' && within === 'matmul')
  expect(inside.reduce((sum, { operations }) => sum + operations, 0)).toBe(2 * 2 * 4 * 8 * 2)
  expect(takeProfile()).toEqual([])
})

const entry = (name: string, phase: ProfileEntry['phase'], seconds: number, more: Partial<ProfileEntry> = {}) => ({
  name,
  phase,
  shapes: '2x2',
  calls: 1,
  seconds,
  operations: 0,
  bytes: 0,
  ...more,
})

test('a report sums by operation and phase, and what ran inside into its row', () => {
  const counted = mergeProfiles([
    [entry('conv2d', 'forward', 1, { operations: 4e9, bytes: 2e9 }), entry('conv2d', 'backward', 0.25)],
    [
      entry('conv2d', 'forward', 1, { operations: 4e9, bytes: 2e9 }),
      entry('conv2dFilterGradient', 'backward', 3, { within: 'conv2d', operations: 6e9 }),
      entry('relu', 'forward', 0.001),
    ],
  ])
  expect(counted).toHaveLength(4)
  const report = profileReport(counted, { steps: 2, seconds: 6, waitingSeconds: 0.5 })
  expect(report.rows.map(({ name, phase, calls, seconds }) => [name, phase, calls, seconds])).toEqual([
    ['conv2d', 'backward', 1, 3.25],
    ['conv2d', 'forward', 2, 2],
    ['relu', 'forward', 1, 0.001],
  ])
  expect(report.otherSeconds).toBeCloseTo(6 - 5.251 - 0.5, 9)
  const table = profileTable(report).split('\n')
  expect(table[0]).toBe('profile of 2 steps of 3000.00 ms')
  expect(table.find((line) => line.startsWith('conv2d') && line.includes('forward'))).toMatch(
    /^conv2d +forward +1 +1000\.00 +33\.3 % +4 +2\.0$/,
  )
  expect(table.find((line) => line.startsWith('  conv2dFilterGradient'))).toMatch(/0\.5 +1500\.00 +50\.0 % +2$/)
  expect(table.at(-2)).toMatch(/^waiting for data +250\.00 +8\.3 %$/)
  expect(table.at(-1)).toMatch(/^everything else/)
})

test('spt run --profile: every operation of a step is there, and together they are no longer than the steps', async () => {
  const config = join(folder, 'tiny.yaml')
  const tiny = await readFile(join(fixtures, 'runs', 'tiny.yaml'), 'utf8')
  await writeFile(config, tiny.replaceAll('../', `${fixtures}/`).replace('seed: 3', `seed: 3\ncache_dir: ${folder}`))
  expect(await main(['run', config, '--profile', 'logger=csv'])).toBe(0)
  const directory = printed.map((line) => /^run: (.*)$/m.exec(line)?.[1]).find((path) => path !== undefined)
  const report = JSON.parse(await readFile(join(directory ?? '', 'profile.json'), 'utf8')) as ProfileReport
  // Eight steps, the first left out.
  expect(report.steps).toBe(7)
  const counted = report.entries.reduce((sum, { seconds }) => sum + seconds, 0)
  expect(counted).toBeGreaterThan(0)
  expect(counted + report.waitingSeconds).toBeLessThanOrEqual(report.seconds)
  expect(counted + report.waitingSeconds + report.otherSeconds).toBeCloseTo(report.seconds, 9)
  expect(report.rows.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(counted, 9)
  const update = report.entries.find(({ name }) => name === 'sgdStep')
  expect(update).toMatchObject({ phase: 'update', calls: 7 })
  const table = printed.find((line) => line.startsWith('profile of 7 steps')) ?? ''
  for (const { name } of report.rows) expect(table).toContain(`\n${name} `)
})

const there = gpuAdapters().length > 0
if (!there) console.warn('SKIPPED: no GPU adapter (Debian: mesa-vulkan-drivers has one that runs on the CPU)')

test.skipIf(!there)('spt run --profile on a GPU: counts, bytes and the kernels of each operation, a step', async () => {
  const config = join(folder, 'gpu.yaml')
  const tiny = await readFile(join(fixtures, 'runs', 'tiny.yaml'), 'utf8')
  await writeFile(
    config,
    tiny.replaceAll('../', `${fixtures}/`).replace('seed: 3', `seed: 3\ncache_dir: ${folder}/gpu`),
  )
  printed.length = 0
  expect(await main(['run', config, '--profile', 'logger=csv', 'device=gpu'])).toBe(0)
  const directory = printed.map((line) => /^run: (.*)$/m.exec(line)?.[1]).find((path) => path !== undefined)
  const { steps, gpu } = JSON.parse(await readFile(join(directory ?? '', 'profile.json'), 'utf8')) as ProfileReport
  expect(steps).toBe(7)
  expect(gpu?.device).toBe('gpu:0')
  // Everything that was started is in the table, with a time.
  expect(gpu?.kernels.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(gpu?.dispatches)
  expect(gpu?.kernels.every(({ seconds }) => seconds >= 0)).toBe(true)
  expect(gpu?.kernels.map(({ name }) => name)).toEqual(expect.arrayContaining(['linear', 'sgdStep']))
  expect(gpu?.kernels.find(({ name }) => name === 'sgdStep')?.dispatches).toBe(7)
  expect(gpu!.readBytes).toBeGreaterThan(gpu!.uploadedBytes)
  // The second step has momentum, which is another kernel than that of the first.
  expect(gpu!.pipelines).toBe(1)
  const table = printed.find((line) => line.startsWith('profile of 7 steps')) ?? ''
  expect(table).toMatch(/gpu:0, a step: [\d.]+ dispatches, [\d.]+ submissions, 0\.1 pipelines compiled/)
  expect(table).toMatch(/kernels read [\d.]+ MiB and write [\d.]+ MiB; [\d.]+ MiB go there, [\d.]+ MiB come back/)
  expect(table).toMatch(/\nlinear +[\d.]+ +[\d.]+ +[\d.]+ %/)
})
