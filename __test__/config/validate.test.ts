import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { z } from 'zod'
import { SptError } from '../../src/errors.js'
import { parseConfig } from '../../src/config/document.js'
import { plain } from '../../src/config/plain.js'
import { namedReferences, reference, references, type Lookup, type PluginUse } from '../../src/config/reference.js'
import { validate } from '../../src/config/validate.js'

const sgd = {
  name: 'sgd',
  config: z.object({
    lr: z.number().min(0).default(0.1).describe('learning rate'),
    momentum: z.number().min(0).lt(1).default(0),
    weightDecay: z.number().default(0),
  }),
}
const probe = {
  name: 'online-probe',
  config: z.object({ every: z.int().min(1), optimizer: reference('optimizer').prefault({ type: 'sgd', lr: 1 }) }),
}

const lookup: Lookup = (kind, name) => {
  const found = [
    ['optimizer', sgd],
    ['callback', probe],
  ].find(([k, d]) => k === kind && (d as typeof sgd).name === name)
  if (found === undefined) throw new SptError('ERR_PLUGIN', `unknown ${kind} "${name}"`)
  return found[1] as typeof sgd
}

const schema = z.object({
  seed: z.int().min(0).default(0),
  optimizer: reference('optimizer'),
  callbacks: references('callback').prefault([]),
  trainer: z
    .object({ maxEpochs: z.int().min(1).default(1), precision: z.enum(['32-true', '16-mixed']).default('32-true') })
    .prefault({}),
  labels: z.record(z.string(), z.number()).optional(),
  gamma: z.number().nullable().optional(),
})

const parse = (yaml: string, overrides: string[] = []) =>
  validate(parseConfig(yaml, 'a.yaml', overrides), schema, lookup)
const failure = (yaml: string, overrides: string[] = []) => {
  try {
    parse(yaml, overrides)
  } catch (error) {
    expect(error).toBeInstanceOf(SptError)
    expect((error as SptError).code).toBe('ERR_CONFIG')
    return (error as SptError).message
  }
  throw new Error('the configuration was accepted')
}

test('snake_case keys become camelCase options, defaults are filled in, plugins parse their own', () => {
  const config = parse(
    'optimizer: {type: sgd, weight_decay: 1e-6}\ntrainer: {max_epochs: 3}\nlabels: {a_b: 1}\ngamma: null\nseed: null',
  )
  expect(config).toMatchObject({
    seed: 0,
    trainer: { maxEpochs: 3, precision: '32-true' },
    labels: { a_b: 1 },
    gamma: null,
    callbacks: [],
    optimizer: { kind: 'optimizer', definition: sgd, config: { lr: 0.1, momentum: 0, weightDecay: 1e-6 } },
  })
})

test('a plugin inside a plugin is found and parsed', () => {
  const [use] = parse('optimizer: sgd\ncallbacks: [{type: online-probe, every: 2}]').callbacks
  expect((use!.config['optimizer'] as PluginUse).config).toEqual({ lr: 1, momentum: 0, weightDecay: 0 })
})

test('every problem is told at once, with line, column, path, expectation and suggestion', () => {
  const yaml = `seed: -1
optimizer:
  type: sgd
  lr: fast
  momentun: 0.9
trainer:
  max_epoch: 3
  precision: 32-tru
callbacks:
  - type: online-probe
    every: 0
    optimizer: {type: sgd, lr: -1}
  - nothing
`
  expect(failure(yaml).split('\n').toSorted()).toEqual(
    [
      'a.yaml:1:1 seed: expected at least 0, got -1',
      'a.yaml:4:3 optimizer.lr: expected a number, got "fast" (learning rate)',
      'a.yaml:5:3 optimizer.momentun: unknown key "momentun"; did you mean "momentum"?',
      'a.yaml:7:3 trainer.max_epoch: unknown key "max_epoch"; did you mean "max_epochs"?',
      'a.yaml:8:3 trainer.precision: expected one of "32-true", "16-mixed", got "32-tru"; did you mean "32-true"?',
      'a.yaml:11:5 callbacks.0.every: expected at least 1, got 0',
      'a.yaml:12:28 callbacks.0.optimizer.lr: expected at least 0, got -1 (learning rate)',
      'a.yaml:13:5 callbacks.1: unknown callback "nothing"',
    ].toSorted(),
  )
})

test('a missing key is told at the mapping that should hold it', () => {
  expect(failure('seed: 1')).toBe(
    'a.yaml:1:1 optimizer: expected the name of an optimizer, or a mapping with "type", got nothing',
  )
  expect(failure('optimizer: sgd\ncallbacks:\n  - type: online-probe')).toBe(
    'a.yaml:3:5 callbacks.0.every: missing; expected a number',
  )
})

test('broken YAML tells where', () => {
  expect(failure('optimizer: {type: sgd\nseed: 1')).toMatch(/^a\.yaml:2:\d+: /)
  expect(failure('seed: 1\nseed: 2')).toMatch(/^a\.yaml:2:1: /)
  expect(failure('')).toBe('a.yaml:1:1: the file is empty')
  expect(failure('- 1')).toBe('a.yaml:1:1: expected keys with values at the top')
})

test('overrides set, create, delete and turn a name into a mapping', () => {
  const config = parse('optimizer: sgd\ncallbacks: [{type: online-probe, every: 1}]\nseed: 3', [
    'optimizer.lr=0.5',
    'trainer.max_epochs=7',
    'callbacks.0.every=4',
    '+gamma=2',
    '~seed',
  ])
  expect(config).toMatchObject({ seed: 0, gamma: 2, trainer: { maxEpochs: 7 }, optimizer: { config: { lr: 0.5 } } })
  expect(config.callbacks[0]!.config['every']).toBe(4)
})

test('wrong overrides are told, several at once', () => {
  expect(failure('optimizer: sgd\nseed: 1', ['~sed', '+seed=2', 'seed', 'seed.x=1', 'callbacks=[1']))
    .toMatchInlineSnapshot(`
    "command line ~sed: cannot delete "sed": there is no such key
    command line +seed=2: cannot add "seed": it exists already
    command line seed: expected key=value, +key=value or ~key
    command line seed.x=1: "seed" is 1; nothing can be set inside it
    command line callbacks=[1: the value is not YAML: Flow sequence must end with a ]"
  `)
  expect(failure('optimizer: sgd', ['trainer.max_epochs=ten'])).toBe(
    'command line trainer.max_epochs: expected a number, got "ten"',
  )
})

test('interpolation takes values, subtrees and texts from elsewhere in the file', () => {
  const config = parse(
    'seed: ${trainer.max_epochs}\ntrainer: {max_epochs: 2}\nbase: x\noptimizer: ${spare.0}\nspare: [{type: sgd, lr: "${seed}"}]'.replace(
      'base: x\n',
      '',
    ),
    ['~spare', 'optimizer={type: sgd, lr: "${seed}"}'],
  )
  expect(config).toMatchObject({ seed: 2, optimizer: { config: { lr: 2 } } })
})

test('interpolation tells cycles and missing places', () => {
  expect(failure('seed: ${gamma}\ngamma: ${seed}\noptimizer: sgd').split('\n')[0]).toBe(
    'a.yaml:1:1 seed: cannot resolve "${gamma}": goes round in a circle: ${seed} → ${gamma} → ${seed}',
  )
  expect(failure('optimizer: sgd\nseed: ${trainer.max_epoch}\ntrainer: {max_epochs: 1}')).toBe(
    'a.yaml:2:1 seed: cannot resolve "${trainer.max_epoch}": there is no "trainer.max_epoch"; did you mean "trainer.max_epochs"?',
  )
})

test('a parsed configuration is written back with its defaults and reads as the same', () => {
  const written = plain(
    parse('optimizer: {type: sgd, weight_decay: 1e-6}\ncallbacks: {type: online-probe, every: 2}\nlabels: {aB: 1}'),
    schema,
  )
  expect(written).toEqual({
    seed: 0,
    optimizer: { type: 'sgd', lr: 0.1, momentum: 0, weight_decay: 1e-6 },
    callbacks: [{ type: 'online-probe', every: 2, optimizer: { type: 'sgd', lr: 1, momentum: 0, weight_decay: 0 } }],
    trainer: { max_epochs: 1, precision: '32-true' },
    labels: { aB: 1 },
  })
  const again = parse(stringify(written))
  expect(plain(again, schema)).toEqual(written)
})

describe('several under names of their own', () => {
  const accuracy = { name: 'accuracy', config: z.object({ topK: z.int().min(1).default(1) }) }
  const recall = { name: 'recall', config: z.object({}) }
  const known: Lookup = (kind, name) => {
    const found = [accuracy, recall].find((one) => one.name === name || `torchmetrics.${one.name}` === name)
    if (found === undefined) throw new SptError('ERR_PLUGIN', `unknown ${kind} "${name}"`)
    return found
  }
  const metrics = z.object({ metrics: namedReferences('metric', ['train', 'val']) })
  const read = (yaml: string) => validate(parseConfig(yaml, 'a.yaml', []), metrics, known)
  const shown = (yaml: string): unknown => {
    const { metrics: found } = read(yaml)
    const configs = Object.entries(found).map(([part, uses]) => [
      part,
      Object.fromEntries(Object.entries(uses).map(([name, use]) => [name, [use.definition.name, use.config]])),
    ])
    return Object.fromEntries(configs)
  }

  test.each([
    ['metrics: accuracy', { train: {}, val: { accuracy: ['accuracy', { topK: 1 }] } }],
    ['metrics: {type: accuracy, top_k: 2}', { train: {}, val: { accuracy: ['accuracy', { topK: 2 }] } }],
    [
      'metrics: [recall, {_target_: torchmetrics.accuracy}]',
      { train: {}, val: { recall: ['recall', {}], accuracy: ['accuracy', { topK: 1 }] } },
    ],
    [
      'metrics: {top_one: accuracy, top5: {type: accuracy, top_k: 5}}',
      { train: {}, val: { top_one: ['accuracy', { topK: 1 }], top5: ['accuracy', { topK: 5 }] } },
    ],
    [
      'metrics: {train: recall, val: {top1: accuracy}}',
      { train: { recall: ['recall', {}] }, val: { top1: ['accuracy', { topK: 1 }] } },
    ],
  ])('%s', (yaml, expected) => {
    expect(shown(yaml)).toEqual(expected)
    expect(shown(stringify(plain(read(yaml), metrics)))).toEqual(expected)
  })

  test.each([
    ['metrics: {top1: acuracy}', /a\.yaml:1:11 metrics\.top1: unknown metric "acuracy"/],
    ['metrics: {top1: {type: accuracy, top_k: 0}}', /metrics\.top1\.top_k: expected at least 1, got 0/],
    ['metrics: [recall, recall]', /metrics\.1: "recall" is there twice/],
    ['metrics: {train: recall, val: {type: recall, k: 1}}', /metrics\.val\.k: unknown key "k"/],
  ])('%s is refused at its place', (yaml, message) => {
    expect(() => read(yaml)).toThrow(message)
  })
})
