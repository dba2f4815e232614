/**
 * Every packed reference vector (values from PyTorch and its kin) through the public operations, losses, optimizers,
 * schedules, metrics, networks and methods. `npm run golden -- DIR` runs a whole directory, the slow cases included.
 */
import { readdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { type Case, readPack } from '../../scripts/golden/cases.js'
import { runCase } from '../../scripts/golden/run.js'
import { scope } from '../../src/tensor/index.js'

const folder = fileURLToPath(new URL('../fixtures/golden', import.meta.url))

/** Backward passes of deep networks take seconds each; they run in `npm run golden`. */
const slow = /^(resnet(34|50)|timm_resnet|convnext|vit_small).*(train|norms|resnet18)$/

describe.each(readdirSync(folder).filter((file) => file.endsWith('.br')))('%s', (file) => {
  const cases: Case[] = readPack(join(folder, file))

  it('holds cases of its group', () => {
    expect(cases.length).toBeGreaterThan(15)
    expect(new Set(cases.map(({ group }) => group))).toEqual(new Set([basename(file, '.br')]))
  })

  it.for(cases.filter(({ name }) => !slow.test(name)).map((given) => [given.name, given] as const))(
    '%s',
    async ([, given], { skip }) => {
      const { status, detail } = await scope(() => runCase(given))
      skip(status === 'skipped', detail)
      expect(`${status}: ${detail}`).toMatch(/^passed/)
    },
  )
})
