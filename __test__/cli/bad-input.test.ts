/**
 * Wrong input through the real command: an error with its code, its place and what to do; status 1; nothing that was
 * written before is lost. What each reader says about each kind of damage is in the tests of `data` and `config`.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { scope } from '../../src/tensor/index.js'
import { loadCheckpoint } from '../../src/train/checkpoint.js'
import { type Finished, fixtures, spt, type StartOptions, tiny } from './process.js'

const LIMIT = 120_000

let folder: string
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-bad-')))
})
afterAll(() => rm(folder, { recursive: true }))

/** Runs the small configuration with changes; its runs go to a folder of their own. */
const run = async (changes: readonly string[] = [], options?: StartOptions): Promise<Finished> =>
  spt(['run', tiny, `cache_dir=${await mkdtemp(join(folder, 'cache-'))}`, ...changes], options)

const photos = join(fixtures, 'data', 'photos')
const train = (dataset: Record<string, unknown>): string => `data.train.dataset=${JSON.stringify(dataset)}`

/** The last checkpoint of a run is whole, of this step, and every row of its metrics too. */
async function expectKept({ directory, output }: Finished, step: number): Promise<void> {
  const { state } = await scope(() => loadCheckpoint(join(directory, 'checkpoints', 'last.ckpt')))
  expect(state['trainer']).toMatchObject({ step })
  const [head, ...rows] = (await readFile(join(directory, 'metrics.csv'), 'utf8')).split('\n')
  expect(rows.pop()).toBe('')
  expect(rows.filter((row) => row.split(',').length !== head?.split(',').length)).toEqual([])
  expect(rows.some((row) => row.startsWith(`${Math.floor((step - 1) / 4)},${step},`))).toBe(true)
  expect(output).toContain(`go on from it with: spt run --resume ${directory}`)
  expect((await readdir(join(directory, 'checkpoints'))).filter((name) => name.startsWith('.'))).toEqual([])
}

describe.concurrent('a configuration', () => {
  test.each([
    ['that is no YAML', 'seed: [1\ndata: {}\n', ['wrong.yaml:2:1']],
    [
      'with an unknown key, wrong types, a value out of range and an unknown plugin: all told at once',
      'sede: 1\ntrainer:\n  max_epochs: many\ndata: {batch_size: 0}\noptimizer: SDG\n',
      [
        'wrong.yaml:1:1 sede: unknown key "sede"; did you mean "seed"?',
        'wrong.yaml:3:3 trainer.max_epochs: expected a number, got "many"',
        'wrong.yaml:4:8 data.batch_size: expected at least 1, got 0',
        'wrong.yaml:5:1 optimizer: unknown optimizer "SDG"; did you mean "sgd"?',
        'wrong.yaml:1:1 method: expected the name of a method',
      ],
    ],
  ])('%s', { timeout: LIMIT }, async (_, text, told) => {
    const here = await mkdtemp(join(folder, 'config-'))
    await writeFile(join(here, 'wrong.yaml'), text)
    const { status, output } = await spt(['run', 'wrong.yaml'], { cwd: here })
    expect({ status, output }).toEqual({ status: 1, output: expect.stringMatching(/^error \[ERR_CONFIG\] /) as string })
    for (const one of told) expect(output).toContain(one)
    expect(output).not.toMatch(/\n\s+at /)
    expect(await readdir(here)).toEqual(['wrong.yaml'])
  })

  test('that is not there', { timeout: LIMIT }, async () => {
    const { status, output } = await spt(['run', join(folder, 'absent.yaml')])
    expect(status).toBe(1)
    expect(output).toMatch(/^error \[ERR_CONFIG\] .*absent\.yaml: no such configuration file\nhint: /)
  })
})

describe.concurrent('data', () => {
  const damaged = async (name: string, damage: (path: string) => Promise<unknown>): Promise<string> => {
    const path = join(await mkdtemp(join(folder, 'data-')), name)
    await cp(join(fixtures, 'data', name), path)
    await damage(path)
    return path
  }
  const cut = async (path: string): Promise<void> => truncate(path, (await readFile(path)).length - 7)

  test('that is not there; no folder of a run is left', { timeout: LIMIT }, async () => {
    const cache = await mkdtemp(join(folder, 'cache-'))
    const { status, output } = await spt([
      'run',
      tiny,
      `cache_dir=${cache}`,
      train({ type: 'image-folder', root: '/absent' }),
    ])
    expect(status).toBe(1)
    expect(output).toMatch(/^error \[ERR_DATA\] dataset "image-folder" .*\/absent: no such folder of images\nhint: /)
    expect(await readdir(join(cache, 'runs'))).toEqual([])
  })

  test('in an IDX file that was cut short', { timeout: LIMIT }, async () => {
    const images = await damaged('fashion-mnist/t10k-images-idx3-ubyte.gz', cut)
    const { status, output } = await run([train({ type: 'idx', images })])
    expect(status).toBe(1)
    expect(output).toMatch(
      /^error \[ERR_DATA\] .*t10k-images-idx3-ubyte\.gz: expected a whole gzip file.*\nhint: .*fetch it again/,
    )
  })

  test('in IDX files of different lengths', { timeout: LIMIT }, async () => {
    const images = join(fixtures, 'data/fashion-mnist/t10k-images-idx3-ubyte.gz')
    const labels = join(await mkdtemp(join(folder, 'data-')), 'labels')
    await writeFile(labels, Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 2, 1, 1))
    const { status, output } = await run([train({ type: 'idx', images, labels })])
    expect(status).toBe(1)
    expect(output).toMatch(/\[ERR_DATA\] .*labels: expected 64 labels, as many as images in .*, found 2/)
  })

  test('in a CIFAR file that was cut short', { timeout: LIMIT }, async () => {
    const path = await damaged('photos-cifar10-layout.bin', cut)
    const { status, output } = await run([
      train({ type: 'cifar10', root: join(path, '..'), files: ['photos-cifar10-layout.bin'] }),
    ])
    expect(status).toBe(1)
    expect(output).toMatch(
      /\[ERR_DATA\] .*photos-cifar10-layout\.bin: expected whole records of 3073 bytes, found \d+ bytes/,
    )
  })

  test('in a JPEG that was cut short: what was trained before it stays', { timeout: LIMIT }, async () => {
    const copy = await mkdtemp(join(folder, 'data-'))
    await cp(photos, copy, { recursive: true })
    // The 13th of 18 photos in order: the fourth batch of four.
    const path = join(copy, 'tulips', (await readdir(join(copy, 'tulips'))).toSorted()[0] as string)
    expect(path).toMatch(/\.jpg$/)
    await truncate(path, 300)
    const finished = await run([
      train({ type: 'image-folder', root: copy }),
      'data.train.shuffle=false',
      'trainer.checkpoint_every_n_steps=1',
    ])
    expect(finished.status).toBe(1)
    expect(finished.output).toMatch(/\nerror \[ERR_DATA\] sample 12 \(.*tulips\/.*\.jpg\): /)
    await expectKept(finished, 3)
  })

  test('of images of different sizes', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['data.train.transform=[]'])
    expect(status).toBe(1)
    expect(output).toMatch(/\[ERR_SHAPE\] sample \d+ \(.*photos.*\): /)
  })

  test('that makes no batch', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['data.batch_size=100'])
    expect(status).toBe(1)
    expect(output).toMatch(/\[ERR_DATA\] image-folder: 18 images make no batch of 100.*\nhint: Lower batch_size/)
  })
})

describe.concurrent('a run', () => {
  test('whose shapes do not fit each other', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['callbacks=[{type: online-probe, input_dim: 7}]'])
    expect(status).toBe(1)
    expect(output).toMatch(/\nerror \[ERR_SHAPE\] a probe of width 7 got \[4, 4\]/)
  })

  test('whose loss is no number: its last checkpoint stays, and can be gone on with', { timeout: LIMIT }, async () => {
    const finished = await run(['method.nan_at=7'])
    expect(finished.status).toBe(1)
    expect(finished.output).toMatch(
      /\nerror \[ERR_NONFINITE\] fit\/loss is NaN at step 7\nhint: Lower the learning rate/,
    )
    await expectKept(finished, 4)
    const resumed = await spt(['run', '--resume', finished.directory, '~method.nan_at'])
    expect(resumed.output).toMatch(/last\.ckpt: 1 epoch done, step 4\n/)
    expect(resumed.status).toBe(0)
  })

  test('for a GPU that is not there', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['device=gpu:a name that no driver has'])
    expect(status).toBe(1)
    expect(output).toMatch(/error \[ERR_DEVICE\] no GPU/)
  })

  test('for a device that is none', { timeout: LIMIT }, async () => {
    const { status, output } = await run(['device=tpu'])
    expect(status).not.toBe(0)
    expect(output).toMatch(/device: .*is auto, cpu, gpu, gpu:1/)
  })

  test('where a file stands in the place of its folder', { timeout: LIMIT }, async () => {
    const file = join(folder, 'a-file')
    await writeFile(file, 'mine')
    const { status, output } = await spt(['run', tiny, `cache_dir=${file}`])
    expect(status).toBe(1)
    expect(output).toMatch(
      /^error \[ERR_CHECKPOINT\] .*a-file\/runs\/.*: cannot be written \(ENOTDIR.*\nhint: .*cache_dir/,
    )
    expect(await readFile(file, 'utf8')).toBe('mine')
  })

  test.skipIf(process.platform === 'win32')(
    'on a disk that fills up: the checkpoint before stays',
    { timeout: LIMIT },
    async () => {
      // The first checkpoints fit; what grows is the queue that is saved with them, 8 kB a step.
      const finished = await run(
        [
          'backbone.dim=512',
          'optimizer.lr=0',
          'callbacks=[{type: online-knn, queue_length: 4000}]',
          'trainer.checkpoint_every_n_steps=1',
        ],
        { largestFile: 49_152 },
      )
      expect(finished.status).toBe(1)
      expect(finished.output).toMatch(
        /\nerror \[ERR_CHECKPOINT\] .*last\.ckpt: cannot be written \(EFBIG.*\nhint: Free space/,
      )
      const { state } = await scope(() => loadCheckpoint(join(finished.directory, 'checkpoints', 'last.ckpt')))
      await expectKept(finished, (state['trainer'] as { step: number }).step)
    },
  )

  test('that is gone on with, though its data was moved', { timeout: LIMIT }, async () => {
    const copy = await mkdtemp(join(folder, 'data-'))
    await cp(photos, join(copy, 'here'), { recursive: true })
    const first = await run([train({ type: 'image-folder', root: join(copy, 'here') })])
    await cp(join(copy, 'here'), join(copy, 'there'), { recursive: true })
    await rm(join(copy, 'here'), { recursive: true })
    const refused = await spt(['run', '--resume', first.directory, 'trainer.max_epochs=3'])
    expect(refused.status).toBe(1)
    expect(refused.output).toMatch(
      /\[ERR_DATA\] .*here: no such folder of images\nhint: If the data was moved, say where to: spt run --resume/,
    )
    const moved = `data.train.dataset.root=${join(copy, 'there')}`
    expect((await spt(['run', '--resume', first.directory, 'trainer.max_epochs=3', moved])).status).toBe(0)
    // Both changes hold from now on.
    const again = await spt(['run', '--resume', first.directory])
    expect(again.output).toContain('3 epochs done, step 12\nnothing is left to train')
    expect(again.status).toBe(0)
  })

  test('that is gone on with another network', { timeout: LIMIT }, async () => {
    const first = await run()
    const before = await readFile(join(first.directory, 'config.yaml'), 'utf8')
    const { status, output } = await spt(['run', '--resume', first.directory, 'backbone.dim=7', 'trainer.max_epochs=4'])
    expect(status).toBe(1)
    expect(output).toMatch(
      /\[ERR_CHECKPOINT\] .*last\.ckpt does not fit this run: [^]*\[4, 3\][^]*\[7, 3\][^]*\nhint: Resume with/,
    )
    expect(await readFile(join(first.directory, 'config.yaml'), 'utf8')).toBe(before)
  })

  test('that is to be gone on with from a folder that holds none', { timeout: LIMIT }, async () => {
    const empty = join(folder, 'empty')
    await mkdir(empty)
    const { status, output } = await spt(['run', '--resume', empty])
    expect(status).toBe(1)
    expect(output).toMatch(
      /^error \[ERR_CHECKPOINT\] .*empty is not the folder of a run: there is no run\.json\nhint: /,
    )
  })
})
