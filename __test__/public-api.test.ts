/** What others rely on, written down: a change here is a change of the package's promise. `npx vitest run -u` accepts it. */
import { expect, test } from 'vitest'
import { configJsonSchema } from '../src/app/config.js'
import { loadRegistry } from '../src/plugin/registry.js'
import * as api from 'stable-pretraining'
import * as testing from 'stable-pretraining/testing'

test('the names that may be imported', async () => {
  const names = [
    ...Object.keys(api),
    ...Object.keys(api.nn).map((name) => `nn.${name}`),
    ...Object.keys(testing).map((name) => `testing.${name}`),
  ]
  await expect(`${names.toSorted().join('\n')}\n`).toMatchFileSnapshot('__snapshots__/public-api.txt')
})

test('the JSON Schema of configuration files', async () => {
  const schema = configJsonSchema(await loadRegistry())
  await expect(`${JSON.stringify(schema, null, 2)}\n`).toMatchFileSnapshot('../config.schema.json')
})
