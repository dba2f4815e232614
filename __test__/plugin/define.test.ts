import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineCallback, isDefinition } from 'stable-pretraining'

const definition = defineCallback({
  name: 'probe',
  description: 'A callback for this test.',
  config: z.object({ every: z.int().min(1).default(1).describe('epochs between two probes') }),
  build: ({ config }) => ({ name: `probe every ${config.every}` }),
})

test('a definition carries its kind and is recognised, whichever copy of the package made it', () => {
  expect(definition.kind).toBe('callback')
  expect(isDefinition(definition)).toBe(true)
  expect(isDefinition({ ...definition })).toBe(true)
  expect(isDefinition({ name: 'probe', config: definition.config })).toBe(false)
})

test('a definition refuses keys its schema does not name', () => {
  expect(definition.config.safeParse({ evry: 2 }).success).toBe(false)
  expect(definition.config.parse({})).toEqual({ every: 1 })
})
