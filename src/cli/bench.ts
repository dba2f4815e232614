/** `spt bench methods --suite FILE`: trains the rows of a suite and prints the table. The work is in `app/suite.ts`. */
import { basename, join, resolve } from 'node:path'
import { readSuite, runSuite } from '../app/suite.js'
import { suiteTable } from '../app/suite-table.js'
import { runsRoot } from '../runs/run-directory.js'

export interface BenchOptions {
  suite: string
  output?: string
  only?: string
}

/** 0 when every row was trained; 1 when one failed, 130 when it was stopped. */
export async function benchMethods(overrides: readonly string[], options: BenchOptions): Promise<number> {
  const suite = await readSuite(options.suite, overrides)
  const output = resolve(options.output ?? join(runsRoot(), 'suites', basename(options.suite).replace(/\.ya?ml$/, '')))
  const only = options.only?.split(',').map((name) => name.trim())
  const rows = await runSuite(suite, { output, only, print: (line) => console.error(line) })
  console.log(suiteTable(suite.name, rows).markdown)
  console.error(`tables: ${['json', 'md', 'html'].map((kind) => join(output, `results.${kind}`)).join(' ')}`)
  if (rows.some(({ summary }) => summary?.status === 'interrupted')) return 130
  return rows.some(({ error }) => error !== undefined) ? 1 : 0
}
