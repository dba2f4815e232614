import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { main } from '../../src/cli/program.js'
import { reportError } from '../../src/cli/report-error.js'
import { SptError, internal } from '../../src/errors.js'
import { nn, writeSafetensors } from '../../src/index.js'

let folder: string
const out: string[] = []
const err: string[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-cli-'))
  vi.spyOn(console, 'log').mockImplementation((line: string) => void out.push(line))
  vi.spyOn(console, 'error').mockImplementation((line: string) => void err.push(line))
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => out.push(String(text)) > 0)
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => err.push(String(text)) > 0)
})
afterAll(async () => {
  vi.restoreAllMocks()
  await rm(folder, { recursive: true })
})

const spt = async (...args: string[]) => {
  const status = await main(args)
  return { status, out: out.splice(0).join('\n'), err: err.splice(0).join('\n') }
}

test('help and version end well, nothing typed and unknown options are wrong usage', async () => {
  expect(await spt('--help')).toMatchObject({ status: 0, out: expect.stringContaining('Usage: spt') })
  expect(await spt('--version')).toMatchObject({ status: 0 })
  expect((await spt()).status).toBe(2)
  expect(await spt('doctor', '--jsn')).toMatchObject({
    status: 2,
    err: expect.stringContaining('Did you mean --json?'),
  })
})

test('a missing configuration is told, a misspelt command recognised', async () => {
  expect(await spt('run', join(folder, 'absent.yaml'))).toMatchObject({
    status: 1,
    err: expect.stringMatching(/^error \[ERR_CONFIG\] .*absent\.yaml: no such configuration file\nhint: /),
  })
  expect((await spt('doctr')).err).toMatch(
    /^error \[ERR_CONFIG\] "doctr" is neither a configuration file nor a command; did you mean "spt doctor"\?\nhint: /,
  )
  expect((await spt('train')).err).toContain(
    'Commands: run, data, bench, doctor, export, methods, plugins, schema, summary.',
  )
  expect((await spt('seed=1')).err).toContain('hint: The configuration file comes first')
  expect((await spt('flowers.yaml', '--resume', folder)).err).toContain('flowers.yaml cannot be given too')
  expect((await spt('run')).err).toMatch(/^error \[ERR_CONFIG\] no configuration file was given/)
})

test('the word run and the ending .yaml may be left out; every problem is told with its place', async () => {
  await writeFile(join(folder, 'wrong.yaml'), 'seed: -1\ntrainer: {max_epoch: 1}\n')
  const { status, err } = await spt(join(folder, 'wrong'))
  expect(status).toBe(1)
  expect(err).toContain('wrong.yaml:1:1 seed: expected at least 0, got -1 (')
  expect(err).toContain('wrong.yaml:2:11 trainer.max_epoch: unknown key "max_epoch"; did you mean "max_epochs"?')
  expect(err).toContain('wrong.yaml:1:1 method: expected the name of a method')
  expect(err).not.toMatch(/\n\s+at /)
  expect((await spt(join(folder, 'wrong.yaml'), '--debug')).err).toMatch(/\n\s+at /)
})

test('resuming from a folder that holds no run is refused', async () => {
  expect(await spt('run', '--resume', folder)).toMatchObject({
    status: 1,
    err: expect.stringContaining('[ERR_CHECKPOINT]'),
  })
})

test('plugins are listed by kind, as a table and as JSON', async () => {
  const table = await spt('plugins', '--kind', 'transforms')
  expect(table.out).toMatch(/^transforms\n(.*\n)* {2}random-resized-crop +\S/)
  const rows = JSON.parse((await spt('plugins', '--json')).out) as {
    kind: string
    name: string
    config: object
  }[]
  expect(rows.find(({ name }) => name === 'image-folder')).toMatchObject({
    kind: 'dataset',
    config: { type: 'object' },
  })
  expect(await spt('plugins', '--kind', 'mehtod')).toMatchObject({
    status: 1,
    err: expect.stringContaining('did you mean "method"?'),
  })
})

test('the JSON Schema is printed or written', async () => {
  const file = join(folder, 'schema.json')
  expect((await spt('schema', '--out', file)).status).toBe(0)
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({
    properties: { seed: { type: 'integer' } },
    definitions: { dataset: {} },
  })
})

test('an error shows its code, its message and what to do; where it happened only if asked, or if it is a bug', () => {
  const error = new SptError('ERR_DATA', 'a.idx: truncated', { hint: 'Copy it again.' })
  expect(reportError(error)).toBe(1)
  expect(err.splice(0)).toEqual(['error [ERR_DATA] a.idx: truncated', 'hint: Copy it again.'])
  reportError(error, { stack: true })
  expect(err.splice(0).join('\n')).toContain('program.test.ts')
  reportError(new TypeError('x is not a function'))
  expect(err.splice(0)).toEqual(['error x is not a function', 'hint: add --debug to see where it happened.'])
  reportError(internal('impossible'))
  expect(err.splice(0)).toContain('hint: add --debug to see where it happened.')
})

test('a configuration is summarised: from its data, from a given shape, as JSON', async () => {
  const config = join(import.meta.dirname, '../fixtures/runs/simclr.yaml')
  const { status, out } = await spt('summary', config)
  expect(status).toBe(0)
  expect(out).toMatch(/^backbone: small, 16 wide\nlayer +type +output .*\nSequential +\[1, 16\] +464 /)
  expect(out).toContain('input [1, 3, 32, 32]: 464 parameters')
  expect(out).toMatch(/\nprojector \(Sequential\): [\d,]+ parameters, [\d,]+ trainable$/)
  const { backbone, networks } = JSON.parse((await spt('summary', config, '--image', '3x64x48', '--json')).out) as {
    backbone: { rows: { name: string; outputShape: number[] }[] }
    networks: object[]
  }
  expect(backbone.rows[1]).toMatchObject({ name: '0', type: 'Conv2d', outputShape: [1, 16, 32, 24] })
  expect(networks).toEqual([])
  expect(await spt('summary', config, '--image', '64')).toMatchObject({
    status: 1,
    err: expect.stringContaining('--image: expected channels,height,width such as 3,224,224, got "64"'),
  })
  expect((await spt('summary')).status).toBe(2)
})

test('start weights are read from the folder of the configuration, and told', async () => {
  const weights = nn.mlp([12, 5, 2], { norm: 'batch_norm' }).stateDict()
  await writeSafetensors(join(folder, 'weights.safetensors'), weights)
  const backbone = '{ type: mlp, image_size: 2, hidden: [5, 2], pretrained: ./weights.safetensors }'
  await writeFile(join(folder, 'pretrained.yaml'), `method: simclr\nbackbone: ${backbone}\ndata: {}\n`)
  const { status, err } = await spt('summary', join(folder, 'pretrained.yaml'), '--image', '3,2,2')
  expect({ status, err }).toEqual({
    status: 0,
    err: `pretrained: 9 tensors from ${join(folder, 'weights.safetensors')}`,
  })
  expect(
    await spt('summary', join(folder, 'pretrained.yaml'), '--image', '3,2,2', 'backbone.hidden=[5,3]'),
  ).toMatchObject({
    status: 1,
    err: expect.stringMatching(
      /\[ERR_CHECKPOINT\] backbone "mlp" could not be built: the weights .*do not fit .*4\.weight is \[2, 5\] in the file, \[3, 5\] in the backbone/s,
    ),
  })
})

test('methods are listed by family, with their papers and what they need', async () => {
  const { status, out } = await spt('methods')
  expect(status).toBe(0)
  expect(out).toMatch(
    /^contrastive\n {2}moco-v2 .*\n +Chen et al\. 2020, arXiv:2003\.04297; needs 2 views, any backbone; transform: moco-v2$/m,
  )
  expect(out).toMatch(
    /^decorrelation\n(.*\n)* {2}vicregl .*\n.*needs 2 views, a backbone with patches or a feature map/m,
  )
  expect(out).toMatch(/^supervised\n {2}supervised .*\n +needs 1 view, labels, any backbone$/m)
  const all = JSON.parse((await spt('methods', '--json')).out) as Array<{ name: string; family: string; needs: object }>
  expect(all).toContainEqual(expect.objectContaining({ name: 'byol', family: 'self-distillation', recipe: 'byol' }))
  const silent = join(folder, 'silent.js')
  const definition = `{ name: 'silent', description: 'Says little.', config: z.object({}), build: () => ({}) }`
  await writeFile(
    silent,
    `import { defineMethod, z } from 'stable-pretraining'\nexport default defineMethod(${definition})\n`,
  )
  expect((await spt('methods', silent)).out).toMatch(/^other\n(.*\n)* {2}silent .*Says little\./m)
  const plugin = join(import.meta.dirname, '../fixtures/plugins/tiny-method.ts')
  expect((await spt('methods', plugin)).out).toMatch(/^other\n(.*\n)* {2}tiny-method .* \[.*tiny-method\.ts\]$/m)
})
