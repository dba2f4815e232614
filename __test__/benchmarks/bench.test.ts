/** The bench: what may be typed, what it prints, what happens without peers, and the page of results. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { casesOf, groups, operationsOf } from '../../benchmarks/harness/cases.js'
import { readOptions } from '../../benchmarks/harness/options.js'
import { learntOf } from '../../benchmarks/harness/learning.js'
import { pageOf, record, recordLearning, type Origin } from '../../benchmarks/harness/results-page.js'
import { besideLeast, besidePeak, compared, medianOf, type Result } from '../../benchmarks/harness/results.js'
import { takeTurns } from '../../benchmarks/harness/turns.js'

const root = resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'spt-bench-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function bench(args: readonly string[], env: Record<string, string> = {}) {
  const program = join(root, 'benchmarks', 'bench.ts')
  return spawnSync(process.execPath, ['--import', 'tsx', program, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
  })
}

describe('cases', () => {
  test('a group stands for its cases, each once', () => {
    const names = casesOf(['conv', 'conv-64x64x32-fwd']).map(({ name }) => name)
    expect(names).toEqual(groups['conv'])
    expect(casesOf(['all']).length).toBeGreaterThan(12)
  })

  test('a batch is images a view: the name says both views', () => {
    expect(casesOf(['simclr-r18', 'vit-tiny'], 32)).toEqual([
      { kind: 'step', name: 'simclr-r18-64', network: 'simclr-r18', images: 64 },
      { kind: 'step', name: 'vit-tiny-64', network: 'vit-tiny', images: 64 },
    ])
    expect(casesOf(['conv-64x64x32-fwdbwd'], 8)[0]).toMatchObject({ name: 'conv-8x64x32-fwdbwd', images: 8 })
  })

  test('operations are those of the definition', () => {
    const [product, convolution, both] = casesOf(['gemm-2x3x5', 'conv-2x4x3-fwd', 'conv-2x4x3-fwdbwd'])
    expect(operationsOf(product!)).toBe(2 * 2 * 3 * 5)
    expect(operationsOf(convolution!)).toBe(2 * 2 * 4 * 4 * 9 * 3 * 3)
    expect(operationsOf(both!)).toBe(3 * operationsOf(convolution!)!)
  })

  test('an unknown case names the nearest', () => {
    expect(() => casesOf(['gem-1024'])).toThrow(/no case "gem-1024".*did you mean "gemm-1024"/)
    expect(() => casesOf(['simclr-r18-7'])).toThrow(/even number/)
  })
})

describe('options', () => {
  test('one setting a precision and a number of threads', () => {
    const { settings } = readOptions(['gemm', '--precision', 'fp32,bf16-mixed', '--threads', '1,2', '--runs', '3'])
    expect(settings.map(({ precision, threads, runs }) => `${precision} ${threads} ${runs}`)).toEqual([
      'fp32 1 3',
      'fp32 2 3',
      'bf16-mixed 1 3',
      'bf16-mixed 2 3',
    ])
  })

  test.each([
    [[], /no case was given/],
    [['gemm', '--precision', 'fp16'], /--precision: expected fp32 or bf16-mixed or 16-mixed, got "fp16"/],
    [['gemm', '--precision', '16-mixed'], /--precision 16-mixed is not for --device cpu/],
    [['gemm', '--threads', '0'], /--threads: expected a whole number from 1, got "0"/],
    [['gemm', '--device', 'tpu'], /--device: expected cpu, gpu, gpu:1/],
    [['gemm', '--device', 'gpu', '--peer'], /--peer: the peers compute on the CPU/],
    [['gemm', '--runs', 'many'], /--runs: expected a whole number/],
  ])('%j is refused', (args, message) => {
    expect(() => readOptions(args)).toThrow(message)
  })
})

describe('the command', () => {
  test('prints a line of JSON a case', () => {
    const { stdout, status, stderr } = bench([
      'gemm-32',
      'conv-2x4x8-fwdbwd',
      '--json',
      '--runs',
      '3',
      '--threads',
      '1',
    ])
    expect(stderr).toBe('')
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Result)
    expect(lines.map(({ peer, case: name, n, threads }) => [peer, name, n, threads])).toEqual([
      ['ours', 'gemm-32', 3, 1],
      ['ours', 'conv-2x4x8-fwdbwd', 3, 1],
    ])
    for (const line of lines) {
      expect(line.seconds_min).toBeGreaterThan(0)
      expect(line.seconds_median).toBeGreaterThanOrEqual(line.seconds_min)
      expect(line.peak_mb).toBeGreaterThan(20)
    }
    expect(lines[1]!.images_per_s).toBeCloseTo(2 / lines[1]!.seconds_median, -1)
    expect(status).toBe(0)
  })

  test('a peer that is missing is an error with the command that installs it; ours is measured all the same', () => {
    const python = join(folder, 'no-python')
    const { stdout, stderr, status } = bench(['gemm-16', '--peer', '--json', '--runs', '1'], {
      SPT_PEER_PYTHON: python,
      SPT_PEER_JAX_PYTHON: python,
    })
    expect(stderr).toContain(`${python} does not run; install the peers: python3 -m venv target/peers`)
    expect(stderr).toContain('pip install -r benchmarks/peers/requirements.txt')
    expect(JSON.parse(stdout)).toMatchObject({ peer: 'ours', case: 'gemm-16' })
    expect(status).toBe(1)
  })

  test('a case without another precision is not measured under its name', () => {
    const { stdout, stderr, status } = bench(['knn-16x4', '--precision', 'bf16-mixed'])
    expect(stderr).toContain('knn-16x4: it has no bf16-mixed, only fp32; left out')
    expect([stdout, status]).toEqual(['', 0])
  })

  test('what was typed wrongly ends with status 2', () => {
    const { stderr, status } = bench(['conw'])
    expect(stderr).toContain('did you mean "conv"?')
    expect(status).toBe(2)
  })
})

describe('turns', () => {
  /** A contender in Node, which waits as long as it is told for a run and writes down when. */
  const contender = (peer: string, milliseconds: number) => {
    const program = `
      const fs = require('node:fs'), lines = require('node:readline').createInterface({ input: process.stdin })
      console.log('noise of a library'); console.log(JSON.stringify({ ready: true, peer: '${peer}-1.0', warm_seconds: ${milliseconds / 1000} }))
      lines.on('line', (line) => {
        fs.appendFileSync(${JSON.stringify(join(folder, 'turns'))}, '${peer} ')
        console.log(JSON.stringify({ seconds: Array(Number(line)).fill(${milliseconds / 1000}), cpu_seconds: 0 }))
      })
      lines.on('close', () => console.log(JSON.stringify({ peak_mb: 7, note: 1 })))`
    return { peer, command: process.execPath, args: ['-e', program] }
  }

  test('contenders alternate, and do the runs that were asked for', async () => {
    writeFileSync(join(folder, 'turns'), '')
    const [a, b] = await takeTurns([contender('a', 1), contender('b', 2)], { runs: 7, rounds: 3 })
    expect(readFileSync(join(folder, 'turns'), 'utf8')).toBe('a b a b a b ')
    expect(a).toMatchObject({ peer: 'a-1.0', peakMb: 7, notes: { note: 1 } })
    expect(b).toMatchObject({ peer: 'b-1.0', seconds: Array(7).fill(0.002) })
  })

  test('one that fails is told with what it said; the other goes on', async () => {
    const broken = { peer: 'broken', command: process.execPath, args: ['-e', 'throw new Error("no such kernel")'] }
    const absent = { peer: 'absent', command: join(folder, 'nothing'), args: [] }
    const [first, second, third] = await takeTurns([broken, contender('a', 1), absent], { runs: 1 })
    expect(first).toBeInstanceOf(Error)
    expect((first as Error).message).toMatch(/broken ended before it had answered:[\s\S]*no such kernel/)
    expect(second).toMatchObject({ seconds: [0.001] })
    expect((third as Error).message).toMatch(/absent ended.*ENOENT/s)
  })

  test('one that hangs is given up', async () => {
    const hung = { peer: 'hung', command: process.execPath, args: ['-e', 'setInterval(() => {}, 1000)'] }
    const [only] = await takeTurns([hung], { patience: 0.3 })
    expect((only as Error).message).toContain('hung gave no answer within 0.3 s')
  })
})

describe('results', () => {
  const setting = { n: 5, device: 'cpu', precision: 'fp32', threads: 2 }
  const result = (peer: string, name: string, median: number, more: Partial<Result> = {}): Result => ({
    ...setting,
    peer,
    case: name,
    seconds_min: median,
    seconds_median: median,
    peak_mb: 100,
    ...more,
  })
  const origin = (commit: string): Origin => ({
    date: '2026-01-31',
    commit,
    machine: 'a processor, 2 cores, avx2',
    versions: 'stable-pretraining 0.1.0, Node 20.0.0, linux-x64',
    command: 'npm run bench -- conv --peer',
  })

  test('ratios are medians of the peers over ours; ours names the fastest', () => {
    const [own, slow, fast] = compared(result('ours', 'a', 0.1), [result('x', 'a', 0.4), result('y', 'a', 0.15)])
    expect([own!.ratio, own!.against, slow!.ratio, fast!.ratio]).toEqual([1.5, 'y', 4, 1.5])
    expect([medianOf([3, 1, 2]), medianOf([4, 1, 2, 3])]).toEqual([2, 2.5])
  })

  test('the page has a row a case; what is measured again takes the place of the old', async () => {
    const own = result('ours', 'conv-1', 0.01, {
      ratio: 2.5,
      against: 'x',
      images_per_s: 6400,
      gflops: 483,
      others: 0.31,
    })
    await record(folder, [own, result('x', 'conv-1', 0.025, { ratio: 2.5 })], origin('aaaa'))
    await record(folder, [result('ours', 'gemm-1', 2)], origin('bbbb'))
    const file = () => readFileSync(join(folder, 'RESULTS.md'), 'utf8')
    expect(file()).toContain(
      'a processor, 2 cores, avx2; stable-pretraining 0.1.0, Node 20.0.0, linux-x64; commit aaaa.',
    )
    expect(file()).toContain(
      '| conv-1 | fp32, 2 threads | 10.0 ms | 6,400 images/s, 483 GFLOP/s | 100 MB | x 25.0 ms **2.50** (100 MB) | 0.3 |',
    )
    await record(folder, [result('ours', 'conv-1', 0.02, { ratio: 2 })], origin('cccc'))
    expect(file()).not.toContain('aaaa')
    expect(file()).toContain('commit bbbb')
    expect(file()).toContain('| conv-1 | fp32, 2 threads | 20.0 ms |')
    // Without peers it does not take the place of what stood beside them.
    await record(folder, [result('ours', 'conv-1', 0.03)], origin('dddd'))
    expect(file()).toContain('| conv-1 | fp32, 2 threads | 20.0 ms |')
    expect(file()).toContain('| conv-1 | fp32, 2 threads | 30.0 ms |')
  })

  test('speeds stand beside the peak, steps with the operations that they consist of', async () => {
    const peak = { gflops: 200, gb_per_s: 20 }
    expect(besidePeak(result('ours', 'gemm-1', 1, { gflops: 150 }), peak)).toMatchObject({
      of_peak: 0.75,
      peak_gflops: 200,
      peak_gb_per_s: 20,
    })
    const row = { phase: 'forward' as const, calls: 3, inside: [] }
    const rows = [
      { ...row, name: 'linear', seconds: 2, operations: 300e9, bytes: 10e9 },
      { ...row, name: 'gelu', seconds: 0.5, operations: 0, bytes: 9e9 },
      { ...row, name: 'tiny', seconds: 0.02, operations: 0, bytes: 1 },
    ]
    const report = { steps: 3, seconds: 4, waitingSeconds: 0, otherSeconds: 0, rows, entries: [] }
    const step = besidePeak(result('ours', 'vit-tiny-4', 1), peak, report)
    expect(step.kernels?.map(({ name, share, gflops, gb_per_s: bytes }) => [name, share, gflops, bytes])).toEqual([
      ['linear', 0.5, 150, 5],
      ['gelu', 0.125, undefined, 18],
    ])
    const place = mkdtempSync(join(folder, 'page-'))
    await record(place, [besidePeak(result('ours', 'gemm-1', 1, { gflops: 150 }), peak), step], origin('aaaa'))
    await record(place, [result('ours', 'gemm-1', 1, { instruction_set: 'avx2' })], origin('aaaa'))
    const text = readFileSync(join(place, 'RESULTS.md'), 'utf8')
    expect(text).toContain('| 150 GFLOP/s (75 % of the peak) |')
    expect(text).toContain('Operations of `vit-tiny-4`, fp32, 2 threads; peak 200 GFLOP/s, 20 GB/s:')
    expect(text).toContain('| linear | forward | 50.0 % | 150 | 75 % | 5.00 | 25 % |')
    expect(text).toContain('| gelu | forward | 12.5 % |  |  | 18.0 | 90 % |')
    // Another instruction set is another row, not a newer figure.
    expect(text).toContain('| gemm-1 | fp32, 2 threads, avx2 |')
    expect(text).toContain('| gemm-1 | fp32, 2 threads | 1.000 s |')
  })

  test('a step on a GPU stands beside the least that its operations need', async () => {
    const row = { seconds: 1, operations: 0, bytes: 2 ** 20, inside: [] }
    const product = { ...row, phase: 'backward' as const, operations: 5, bytes: 3 * 2 ** 20 }
    const rows = [
      { ...row, name: 'conv2d', phase: 'forward' as const, calls: 4, operations: 9 },
      {
        ...row,
        name: 'conv2d',
        phase: 'backward' as const,
        calls: 4,
        operations: 10,
        inside: [
          { ...product, name: 'convTranspose2d', calls: 4 },
          { ...product, name: 'conv2dFilterGradient', calls: 4 },
        ],
      },
      { ...row, name: 'batchNorm', phase: 'forward' as const, calls: 2 },
      { ...row, name: 'reshape', phase: 'forward' as const, calls: 6 },
    ]
    const kernels = [
      { name: 'conv2d', dispatches: 8, seconds: 3 },
      { name: 'convTranspose2d', dispatches: 4, seconds: 1 },
      { name: 'conv2dFilterGradient', dispatches: 6, seconds: 0 },
      { name: 'batchNorm', dispatches: 6, seconds: 0 },
    ]
    const counts = { pipelines: 0, uploadedBytes: 0, downloadedBytes: 0 }
    const gpu = {
      device: 'gpu' as const,
      dispatches: 24,
      submissions: 2,
      readBytes: 2 ** 24,
      writtenBytes: 2 ** 23,
      kernels,
      ...counts,
    }
    const report = { steps: 2, seconds: 4, waitingSeconds: 0, otherSeconds: 0, rows, entries: [], gpu }
    const step = besideLeast(result('ours', 'vit-tiny-4', 1), report)
    expect(step.gpu).toMatchObject({ dispatches: 12, least_dispatches: 8, read_mib: 8, written_mib: 4, least_mib: 4 })
    expect(step.gpu?.kernels.map(({ name, calls, dispatches, least }) => [name, calls, dispatches, least])).toEqual([
      ['conv2d', 2, 4, 2],
      ['convTranspose2d', 2, 2, 2],
      ['conv2dFilterGradient', 2, 3, 2],
      ['batchNorm', 1, 3, 2],
    ])
    const place = mkdtempSync(join(folder, 'page-'))
    await record(place, [step], origin('aaaa'))
    const text = readFileSync(join(place, 'RESULTS.md'), 'utf8')
    expect(text).toContain('A step of `vit-tiny-4`, fp32: 12 dispatches, of which 8 at least, in 1 submission;')
    expect(text).toContain('| conv2d | 2 | 4 | 2 | 75.0 % |')
  })

  test('the page of this repository is that of its lines', () => {
    expect(readFileSync(join(root, 'benchmarks', 'RESULTS.md'), 'utf8')).toBe(pageOf(join(root, 'benchmarks')))
  })
})

describe('what methods learnt', () => {
  const origin = { date: '2026-01-31', commit: 'aaaa', machine: 'a processor' }
  const metrics = {
    'untrained/knn_top1': 0.3,
    'trained/knn_top1': 0.45,
    'untrained/linear_probe_top1': 0.25,
    'trained/linear_probe_top1': 0.4321,
    rankme: 83.4,
  }

  test('is a table beside what the peers did, of the rows that were trained to their end', async () => {
    const place = mkdtempSync(join(folder, 'learning-'))
    writeFileSync(join(place, 'metrics.csv'), 'epoch,eval/knn_top1\n0,\n1,0.34\n2,0.41\n')
    const suite = [
      { name: 'simclr', run: place, status: 'completed', epochs: 10, metrics },
      { name: 'byol', status: 'interrupted', epochs: 1, metrics },
    ]
    const peer = (state: 'untrained' | 'trained', knn: number) => ({
      method: 'simclr',
      state,
      knn_top1: knn,
      linear_probe_top1: knn + 0.01,
    })
    const learnt = learntOf(suite, [peer('untrained', 0.31), peer('trained', 0.1), peer('trained', 0.46)], origin)
    await recordLearning(place, learnt)
    // Measured again without its peer, it keeps the peer's numbers.
    const again = [
      { ...suite[0]!, epochs: 12 },
      { ...suite[1]!, status: 'completed' },
    ]
    await recordLearning(place, learntOf(again, [], origin))
    const text = readFileSync(join(place, 'RESULTS.md'), 'utf8')
    const simclr =
      '| simclr | 12 | 30.0 → **45.0** | 31.0 → **46.0** | 25.0 → **43.2** | 32.0 → **47.0** | 83 | 34 41 |'
    expect(text).toContain(simclr)
    expect(text).toContain('| byol | 1 | 30.0 → **45.0** |  | 25.0 → **43.2** |  | 83 |  |')
    expect(text.match(/^\| simclr/gm)).toHaveLength(1)
    expect(text).toContain('a processor; commit aaaa, 2026-01-31')
  })
})
