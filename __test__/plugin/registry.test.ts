import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loadRegistry } from '../../src/plugin/registry.js'

let folder: string
const source = (name: string, kind = 'Callback') => `
import { define${kind} } from 'stable-pretraining'
import { z } from 'zod'
export default define${kind}({ name: '${name}', description: 'A plugin of this test.', targets: ['third.${name}'], config: z.object({}), build: () => ({ name: '${name}' }) })
`

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'spt-registry-')))
  await writeFile(join(folder, 'typed.ts'), source('typed').replace('({})', '({} as Record<string, never>)'))
  await writeFile(join(folder, 'plain.mjs'), source('plain'))
  await writeFile(join(folder, 'empty.mjs'), 'export const nothing = 1')
  await writeFile(join(folder, 'other.mjs'), 'export default { name: "not made by define" }')
  await writeFile(join(folder, 'broken.mjs'), 'throw new Error("on purpose")')
  const own = join(folder, 'node_modules', 'spt-plugin-two')
  await mkdir(own, { recursive: true })
  await writeFile(
    join(own, 'package.json'),
    '{"name":"spt-plugin-two","type":"module","exports":{"import":"./index.js"}}',
  )
  await writeFile(
    join(own, 'index.js'),
    `${source('first').replace('export default', 'const first =')}${source('plain')
      .replaceAll(/import .*\n/g, '')
      .replace('export default', 'const plain =')}export default [first, plain]`,
  )
})
afterAll(() => rm(folder, { recursive: true }))

const load = (...names: string[]) => loadRegistry(names, [folder])
const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: unknown) => `${(error as { code: string }).code} ${(error as Error).message}`,
  )

test('plugins are found by path (TypeScript and JavaScript), by package, by package/name and by target', async () => {
  const registry = await load('./typed.ts', 'spt-plugin-two')
  expect(registry.find('callback', './typed.ts').name).toBe('typed')
  expect(registry.find('callback', 'typed').name).toBe('typed')
  expect(registry.find('callback', 'spt-plugin-two/first').name).toBe('first')
  expect(registry.find('callback', 'third.first').name).toBe('first')
  expect(registry.find('callback', 'Plain').name).toBe('plain')
})

test('a name that two plugins claim has to be written in full', async () => {
  const registry = await load('./plain.mjs', 'spt-plugin-two')
  expect(() => registry.find('callback', 'plain')).toThrow(/"plain" names 2 plugins of kind callback/)
  expect(registry.find('callback', 'spt-plugin-two/plain').name).toBe('plain')
  expect(registry.find('callback', './plain.mjs').name).toBe('plain')
})

test('an unknown name is answered with the nearest known one, a name of another kind with its kind', async () => {
  const registry = await load('./typed.ts')
  expect(() => registry.find('callback', 'typped')).toThrow('unknown callback "typped"; did you mean "typed"?')
  expect(() => registry.find('method', 'typed')).toThrow('"typed" is a callback, not a method')
})

test('what cannot be loaded is told with its file and reason', async () => {
  expect(await refusal(load('./absent.ts'))).toBe(
    `ERR_PLUGIN plugin "./absent.ts": there is no file ${folder}/absent.ts`,
  )
  expect(await refusal(load('spt-plugin-absent'))).toMatch(
    /^ERR_PLUGIN plugin package "spt-plugin-absent" is not installed/,
  )
  expect(await refusal(load('./empty.mjs'))).toMatch(/exports nothing by default$/)
  expect(await refusal(load('./other.mjs'))).toMatch(/exports by default something that is no definition$/)
  expect(await refusal(load('./broken.mjs'))).toMatch(/could not be loaded from .*broken\.mjs: on purpose$/)
})
