import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { replaceFile, writeFileAtomically } from '../../src/runs/atomic-file.js'
import { createRunDirectory, openRunDirectory, runsRoot } from '../../src/runs/run-directory.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'spt-runs-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('a file is replaced whole, and a failed write leaves the old one and nothing beside it', async () => {
  const path = join(folder, 'atomic', 'a.txt')
  await writeFileAtomically(path, 'first')
  await writeFileAtomically(path, 'second')
  const failed = replaceFile(path, async (file) => {
    await file.writeFile('half of the thi')
    throw new Error('disk full')
  })
  await expect(failed).rejects.toThrow('disk full')
  expect(await readFile(path, 'utf8')).toBe('second')
  expect(await readdir(join(folder, 'atomic'))).toEqual(['a.txt'])
})

test('a run has a folder named by time and id, and is opened again by it', async () => {
  const now = new Date(2026, 0, 2, 3, 4, 5)
  const run = await createRunDirectory({ root: folder, configFile: 'examples/a.yaml', folder: 'examples', now })
  expect(run.path).toMatch(new RegExp(`^${folder}/20260102/030405/[0-9a-f]{12}$`))
  await expect(openRunDirectory(run.path)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT' })
  await writeFile(run.lastCheckpoint, '')
  const { directory, record } = await openRunDirectory(run.path)
  expect(directory).toEqual(run)
  expect(record).toMatchObject({
    id: run.id,
    configFile: join(process.cwd(), 'examples/a.yaml'),
    folder: join(process.cwd(), 'examples'),
  })
})

test('a folder that holds no run is refused with what to give', async () => {
  await expect(openRunDirectory(folder)).rejects.toMatchObject({
    code: 'ERR_CHECKPOINT',
    message: expect.stringMatching(/no run\.json$/),
  })
})

test('runs go where they are told to: option, environment, ./runs', () => {
  expect(runsRoot('/x')).toBe('/x')
  process.env['SPT_CACHE_DIR'] = '/cache'
  expect(runsRoot()).toBe('/cache/runs')
  delete process.env['SPT_CACHE_DIR']
  expect(runsRoot()).toBe(join(process.cwd(), 'runs'))
})
