/**
 * A module composed in a configuration: a method's forward without state, and the networks and losses it finds by name, as
 * the README of the PyTorch library composes one in Python. The backbone is the run's; a part of that name takes its place.
 */
import { camelCase, defineMethod, emaOptions, reference, SptError, TeacherStudentWrapper } from 'stable-pretraining'
import { updateTeachers, z } from 'stable-pretraining'
import type { Definition, nn } from 'stable-pretraining'

const { emaInterval } = emaOptions(1, 1)

export default defineMethod({
  name: 'module',
  aliases: ['composed'],
  targets: ['stable_pretraining.Module', 'stable_pretraining.module.Module'],
  description: 'A module of parts of your own around the forward of a method, such as that of simclr.',
  family: 'other',
  needs: { views: 1, backbone: 'any' },
  config: z.object({
    forward: reference('method').describe('the method whose forward it is, such as simclr'),
    parts: z
      .record(z.string(), reference('part'))
      .default({})
      .describe('networks and losses by the names under which the forward looks for them'),
    options: z
      .record(z.string(), z.union([z.number(), z.boolean()]))
      .default({})
      .describe('numbers that the forward looks for, such as mask_ratio'),
    emaInterval,
  }),
  async build({ backbone, config, build, seed }) {
    const { forward } = config.forward.definition as unknown as Definition<'method'>
    if (forward === undefined) {
      throw new SptError('ERR_UNSUPPORTED', `module: ${config.forward.name} has no forward without state`, {
        hint: `Take the method as it is: \`method: ${config.forward.name}\`.`,
      })
    }
    const modules: Record<string, nn.Module<unknown>> = { backbone: backbone.module }
    for (const [name, use] of Object.entries(config.parts)) modules[camelCase(name)] = await build(use, { backbone })
    const options = Object.fromEntries(Object.entries(config.options).map(([name, value]) => [camelCase(name), value]))
    const missing = new Set<string>()
    const parts = new Proxy<Record<string, unknown>>(
      { seed, ...options, ...modules },
      {
        get(known, name) {
          if (!(name in known)) missing.add(String(name))
          return known[String(name)]
        },
      },
    )
    const explained = (cause: unknown): unknown => {
      if (!(cause instanceof TypeError) || missing.size === 0) return cause
      const wanted = [...missing].map((name) => `"${name}"`).join(', ')
      const message = `module: the forward of ${config.forward.name} looked for ${wanted} among ${Object.keys(modules).join(', ')}`
      return new SptError('ERR_CONFIG', message, { cause, hint: 'Write it under parts, or numbers under options.' })
    }
    const pairs = Object.values(modules).filter((module) => module instanceof TeacherStudentWrapper)
    return {
      modules,
      forward(batch, stage, progress) {
        try {
          return forward.call(parts as never, batch, stage, progress)
        } catch (cause) {
          throw explained(cause)
        }
      },
      afterStep: (step, progress) => updateTeachers(pairs, step, progress, config.emaInterval),
    }
  },
})
