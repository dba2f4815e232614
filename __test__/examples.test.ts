/** Everything a newcomer is told to run, run with a few steps: `examples/`, the third party's plugin, the README's blocks. */
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Finished, fixtures, root, spt, startScript } from './cli/process.js'

const LIMIT = 300_000

let folder: string
beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-examples-')))
})
afterAll(() => rm(folder, { recursive: true }))

const examples = join(root, 'examples')
const few = ['trainer.max_steps=2', 'trainer.limit_val_batches=1', 'data.train.batch_size=8', 'data.val.batch_size=8']
const smallBaseline = ['callbacks.0.images=16', 'callbacks.0.probe_steps=2']
/** Photos in the layout of CIFAR-10's files, whose own pictures are not ours to bring. */
const cifar = ['train', 'val'].map(
  (part) => `data.${part}.dataset={type: cifar10, root: ${fixtures}/data, files: [photos-cifar10-layout.bin]}`,
)

/** Excerpts that lie in this repository. */
const hub = `{type: parquet, files: ${fixtures}/data/containers/hub.parquet}`
const clothes = `{type: fashion-mnist, root: ${fixtures}/data/fashion-mnist, split: test}`

function expectTrained({ status, output }: Finished): void {
  expect({ status, output }).toEqual({
    status: 0,
    output: expect.stringMatching(/^checkpoints: .*last\.ckpt$/m) as string,
  })
}

describe('examples', () => {
  const changes: Record<string, string[]> = {
    'byol-photos.yaml': few,
    'mae-photos.yaml': few,
    'simclr-cifar10.yaml': [...few, ...smallBaseline, ...cifar],
    'simclr-parquet.yaml': [
      ...few.filter((change) => !change.includes('val.batch')),
      `data.train.dataset.dataset={type: concat, datasets: [${Array(3).fill(hub).join(', ')}]}`,
      `data.val.dataset.dataset=${hub}`,
      'data.val.dataset.lengths=[0.5,0.5]',
    ],
    'simclr-photos.yaml': [...few, ...smallBaseline],
    'supervised-fashion-mnist.yaml': [...few, ...['train', 'val'].map((part) => `data.${part}.dataset=${clothes}`)],
    'supervised-photos.yaml': few,
    'swav-photos.yaml': few,
    'vicreg-photos.yaml': few,
  }
  const scripts = ['byol.ts', 'mae.ts', 'simclr.ts', 'supervised.ts', 'swav.ts', 'vicreg.ts']

  test('are all tested', async () => {
    const files = (await readdir(examples)).filter((file) => /\.(yaml|ts)$/.test(file))
    expect(files.toSorted()).toEqual([...Object.keys(changes), ...scripts].toSorted())
  })

  test.each(Object.entries(changes))('%s', { timeout: LIMIT }, async (file, more) => {
    const finished = await spt(['run', join('examples', file), `cache_dir=${folder}`, ...more])
    expectTrained(finished)
    expect(await readdir(finished.directory)).toContain('report.html')
  })

  test.each(scripts)('%s', { timeout: LIMIT }, async (script) => {
    const finished = await startScript(join(examples, script), ['1'], { cwd: folder }).end
    expectTrained(finished)
    expect(finished.output).toContain("'eval/knn_top1'")
  })

  test("a third party's plugin, found by the name of its package", { timeout: LIMIT }, async () => {
    const project = join(folder, 'project')
    await mkdir(join(project, 'node_modules'), { recursive: true })
    await symlink(join(examples, 'third-party-plugin'), join(project, 'node_modules', 'spt-method-rotnet'), 'junction')
    await cp(join(examples, 'third-party-plugin', 'rotnet.yaml'), join(project, 'rotnet.yaml'))
    const roots = ['train', 'val'].map((part) => `data.${part}.dataset.root=${join(examples, 'data/flowers', part)}`)
    const finished = await spt(['run', 'rotnet.yaml', 'callbacks=[]', ...few, ...roots], { cwd: project })
    expectTrained(finished)
    expect(finished.output).toContain('rotation_top1')
    const listed = await spt(['plugins', 'spt-method-rotnet', '--kind', 'method'], { cwd: project })
    expect(listed.output).toMatch(/rotnet +Predicts .* \[spt-method-rotnet\]/)
  })
})

describe('README', async () => {
  const text = await readFile(join(root, 'README.md'), 'utf8')
  const block = (language: string) => new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm').exec(text)?.[1] ?? ''

  test('its YAML runs, and has fifteen lines', { timeout: LIMIT }, async () => {
    const yaml = block('yaml')
    expect(yaml.trimEnd().split('\n')).toHaveLength(15)
    await writeFile(join(folder, 'flowers.yaml'), yaml)
    const roots = ['train', 'val'].map((part) => `data.${part}.dataset.root=${join(examples, 'data/flowers', part)}`)
    expectTrained(await spt(['run', 'flowers.yaml', ...few, ...smallBaseline, ...roots], { cwd: folder }))
  })

  test('its TypeScript runs, and has about twenty lines', { timeout: LIMIT }, async () => {
    const program = block('ts')
    expect(program.split('\n').filter((line) => line !== '').length).toBeLessThanOrEqual(22)
    // The same program, over in seconds.
    const short = program
      .replace('maxEpochs: 12', 'maxSteps: 1, limitValBatches: 1')
      .replaceAll("'examples/", `'${examples}/`)
      .replaceAll(/batchSize: \d+/g, 'batchSize: 8')
    expect(short).not.toContain('maxEpochs')
    await writeFile(join(folder, 'program.mts'), short)
    expectTrained(await startScript(join(folder, 'program.mts'), [], { cwd: folder }).end)
  })

  test('the commands and scripts it names exist', { timeout: LIMIT }, async () => {
    const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: object }
    const named = [...text.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name as string)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
    const { output } = await spt(['--help'])
    const commands = new Set([...text.matchAll(/`spt (\w+)/g)].map(([, name]) => name as string))
    expect([...commands].filter((name) => !new RegExp(`^ +${name} `, 'm').test(output))).toEqual([])
  })
})
