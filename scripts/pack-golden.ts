/**
 * Packs the reference vectors that the tests need into `__test__/fixtures/golden`, a file a group. Large cases stay out.
 *
 * Usage: tsx scripts/pack-golden.ts DIR [GROUP …]
 */
import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readCases, writePack } from './golden/cases.js'

const [directory, ...asked] = process.argv.slice(2)
if (directory === undefined) throw new Error('usage: tsx scripts/pack-golden.ts DIR [GROUP …]')
const groups =
  asked.length > 0 ? asked : ['ops', 'losses', 'optim', 'schedulers', 'models', 'metrics', 'train', 'transforms']
const target = fileURLToPath(new URL('../__test__/fixtures/golden', import.meta.url))
mkdirSync(target, { recursive: true })

/** Bytes of the largest case that is packed; networks of seconds a step are for `npm run golden`. */
const largest = 150_000
/** Training runs bring a batch for each step. */
const largestRun = 300_000

for (const group of groups) {
  const all = readCases(directory, { groups: [group] })
  const packed = all.filter(
    ({ file }) => statSync(join(directory, file)).size <= (group === 'train' ? largestRun : largest),
  )
  const path = join(target, `${group}.br`)
  writePack(path, directory, packed)
  console.log(`${group}: ${packed.length} of ${all.length} cases, ${statSync(path).size} bytes`)
}
