import { expect, test } from 'vitest'
import { z } from 'zod'
import { documentJsonSchema } from '../../src/config/json-schema.js'
import { namedReferences, reference, references } from '../../src/config/reference.js'

const sgd = {
  kind: 'optimizer',
  name: 'sgd',
  description: 'Steps downhill.',
  config: z.strictObject({ lr: z.number().min(0).default(0.1).describe('learning rate'), weightDecay: z.number() }),
}

test('the JSON Schema has snake_case keys, sentences, defaults and a choice of plugins', () => {
  const root = z.strictObject({
    maxEpochs: z.int().min(1).describe('passes'),
    optimizer: reference('optimizer').optional(),
    callbacks: references('callback').prefault([]),
    metrics: namedReferences('metric', ['train', 'val']).optional(),
  })
  expect(documentJsonSchema(root, [sgd])).toMatchObject({
    type: 'object',
    additionalProperties: false,
    properties: {
      max_epochs: { type: 'integer', minimum: 1, description: 'passes' },
      optimizer: { anyOf: [{ $ref: '#/definitions/optimizer' }] },
      callbacks: {
        anyOf: [{ $ref: '#/definitions/callback' }, { type: 'array', items: { $ref: '#/definitions/callback' } }],
      },
      metrics: {
        anyOf: [
          { $ref: '#/definitions/metric' },
          { type: 'array', items: { $ref: '#/definitions/metric' } },
          { type: 'object', additionalProperties: { $ref: '#/definitions/metric' } },
          { type: 'object', required: ['train', 'val'], additionalProperties: false },
        ],
      },
    },
    definitions: {
      optimizer: {
        anyOf: expect.arrayContaining([
          expect.objectContaining({
            description: 'Steps downhill.',
            properties: {
              type: { const: 'sgd' },
              lr: { type: 'number', minimum: 0, default: 0.1, description: 'learning rate' },
              weight_decay: { type: 'number' },
            },
            required: ['type', 'weight_decay'],
          }),
        ]),
      },
      callback: { anyOf: expect.any(Array) },
    },
  })
})
