/** The last lines of `.ci/run`: counts from the reports of each suite. Arguments: names of the steps that failed. */
import { existsSync, readFileSync } from 'node:fs'

const broken = process.argv.slice(2)
const suites = ['summary', 'packages']
  .map((name) => `target/test/${name}.json`)
  .filter((path) => existsSync(path))
  .flatMap((path) => Object.entries(JSON.parse(readFileSync(path, 'utf8'))))
const sum = (key) => suites.reduce((total, [, counts]) => total + counts[key], 0)

for (const [name, { passed, failed }] of suites) console.log(`${name.padEnd(10)} ${passed} passed, ${failed} failed`)
for (const name of broken) console.log(`${name.padEnd(10)} did not succeed`)
// A step that failed without a failing test (a build, a style check) counts as one.
const unexplained = broken.filter((name) => !['tests', 'packages'].includes(name) || sum('failed') === 0).length
console.log(`${sum('passed')} passed, ${sum('failed') + unexplained} failed`)
process.exitCode = broken.length === 0 && sum('failed') === 0 && sum('passed') > 0 ? 0 : 1
