/**
 * Runs every test: the TypeScript ones by vitest, the core's by cargo, and sums up their own reports.
 * `target/test/summary.json` keeps the counts for `.ci/run`, `target/test/coverage.txt` the table of the core's operations,
 * which is shown too.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

interface Counts {
  readonly passed: number
  readonly failed: number
}

const root = fileURLToPath(new URL('..', import.meta.url))
const reports = join(root, 'target', 'test')
rmSync(reports, { recursive: true, force: true })
mkdirSync(reports, { recursive: true })

const suites = { vitest: await vitest(), cargo: await cargo() }
const total = Object.values(suites).reduce((sum, { passed, failed }) => ({
  passed: sum.passed + passed,
  failed: sum.failed + failed,
}))
writeFileSync(join(reports, 'summary.json'), JSON.stringify(suites))
for (const [name, { passed, failed }] of Object.entries(suites))
  console.log(`${name.padEnd(8)} ${passed} passed, ${failed} failed`)
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1

async function vitest(): Promise<Counts> {
  const cli = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
  const report = join(reports, 'vitest.json')
  const { status } = await run(process.execPath, [
    cli,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
  ])
  try {
    const { numPassedTests, numFailedTests, numFailedTestSuites } = JSON.parse(readFileSync(report, 'utf8')) as Record<
      string,
      number
    >
    // A file that cannot be loaded has no tests that could fail.
    const failed = numFailedTests! > 0 ? numFailedTests! : numFailedTestSuites!
    return { passed: numPassedTests!, failed: failed === 0 && status !== 0 ? 1 : failed }
  } catch {
    return { passed: 0, failed: 1 }
  }
}

async function cargo(): Promise<Counts> {
  const table = join(reports, 'coverage.txt')
  const command = ['test', '--no-default-features', '--features', 'noop', '--no-fail-fast']
  const { status, output } = await run('cargo', command, { COVERAGE_TABLE: table })
  // A run that stops before the test `coverage` leaves none.
  if (existsSync(table)) console.log(`\n${readFileSync(table, 'utf8')}`)
  const results = [...output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)]
  const sum = (group: number) => results.reduce((total, match) => total + Number(match[group]), 0)
  // A crate that does not compile runs no test.
  return { passed: sum(1), failed: sum(2) === 0 && status !== 0 ? 1 : sum(2) }
}

/** Shows what a command prints, and keeps it. */
function run(
  command: string,
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, ...environment }
    const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      process.stdout.write(chunk)
    })
    child.on('error', (error) => {
      console.error(`${command}: ${error.message}`)
      resolve({ status: 1, output })
    })
    child.on('close', (status) => resolve({ status: status ?? 1, output }))
  })
}
