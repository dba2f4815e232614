/**
 * The conformance suite for authors of plugins: the rules that built-in plugins keep too.
 *
 *     import { conformance } from 'stable-pretraining/testing'
 *     for (const { name, check } of conformance(myPlugin)) test(name, check)
 */
import { check as checkConfig, descriptionOf } from '../config/check.js'
import { pluginJsonSchema } from '../config/json-schema.js'
import { withLookup } from '../config/reference.js'
import type { Definition, Kind } from '../plugin/define.js'
import { loadRegistry, type Registry } from '../plugin/registry.js'
import { backboneRules } from './backbone.js'
import { callbackRules, loggerRules } from './callback.js'
import { datasetRules, transformRules } from './data.js'
import { collatorRules, samplerRules } from './order.js'
import { methodRules } from './method.js'
import { metricRules } from './metric.js'
import { optimizerRules, schedulerRules } from './optimizer.js'
import { partRules } from './part.js'
import { require, rule, type Rule } from './rule.js'

export type { Rule }

export interface ConformanceOptions {
  /** Options that have no default, written as in YAML. */
  readonly config?: Record<string, unknown>
  /** For data sets: where relative paths start. */
  readonly root?: string
  /** For methods: classes of the synthetic data (default 4), pixels of a side (default 16), images a batch (default 16). */
  readonly classes?: number
  readonly side?: number
  readonly batchSize?: number
  /** For callbacks: tried on a vision transformer, whose outputs hold `tokens` [batch, tokens, dim]. */
  readonly transformer?: boolean
  /** For transforms: tried on clips of so many frames instead of images. */
  readonly frames?: number
}

/** A plugin's own build, with its config parsed as in a run. */
export type Builder = (context: object) => Promise<unknown>

/** Every rule for a plugin of its kind. */
export function conformance(definition: Definition, options: ConformanceOptions = {}): Rule[] {
  const builder: Builder = async (context) => buildWith(definition, options.config ?? {}, context, await builtIn())
  return [...describedRules(definition, options), ...rulesOf[definition.kind](builder, options, definition)]
}

const rulesOf: Record<Kind, (build: Builder, options: ConformanceOptions, definition: Definition) => Rule[]> = {
  method: (build, options, definition) => methodRules(build, options, definition as Definition<'method'>),
  backbone: backboneRules,
  dataset: datasetRules,
  transform: transformRules,
  sampler: samplerRules,
  collator: collatorRules,
  callback: callbackRules,
  metric: metricRules,
  logger: loggerRules,
  optimizer: optimizerRules,
  scheduler: schedulerRules,
  part: partRules,
}

function describedRules(definition: Definition, { config = {} }: ConformanceOptions): Rule[] {
  const { description, config: schema } = definition
  return [
    rule('it says what it is in one sentence', () => {
      require(description.trim().length > 0, () => 'its description is empty')
    }),
    rule('each option has a sentence', () => {
      const silent = Object.entries(schema.shape).filter(([, field]) => descriptionOf(field) === undefined)
      require(silent.length === 0, () => `no .describe(): ${silent.map(([name]) => name).join(', ')}`)
    }),
    rule('its defaults are valid', async () => {
      parse(definition, config, await builtIn())
    }),
    rule('an unknown option is refused', async () => {
      const registry = await builtIn()
      const { problems } = withLookup(
        (kind, name) => registry.find(kind as Kind, name),
        () => checkConfig(schema, { ...config, no_such_option: 1 }),
      )
      require(problems.some(({ path }) => path[0] === 'no_such_option'), () => 'no_such_option was accepted')
    }),
    rule('its options can be shown to editors', () => {
      JSON.stringify(pluginJsonSchema(schema))
    }),
  ]
}

function parse(definition: Definition, config: Record<string, unknown>, registry: Registry): unknown {
  const { output, problems } = withLookup(
    (kind, name) => registry.find(kind as Kind, name),
    () => checkConfig(definition.config, config),
  )
  require(problems.length === 0, () => problems.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'))
  return output
}

async function buildWith(
  definition: Definition,
  config: Record<string, unknown>,
  context: object,
  registry: Registry,
): Promise<unknown> {
  const build = async (use: { definition: Definition; config: unknown }, inner: object): Promise<unknown> =>
    use.definition.build({ ...inner, build, config: use.config } as never)
  return definition.build({ ...context, build, config: parse(definition, config, registry) } as never)
}

let registry: Promise<Registry> | undefined

/** The built-in plugins, which another plugin may refer to. */
function builtIn(): Promise<Registry> {
  registry ??= loadRegistry()
  return registry
}
