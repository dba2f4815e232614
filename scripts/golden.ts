/**
 * Compares this package with reference vectors: every case of a directory of safetensors files with an index.json.
 *
 * Usage: npm run golden -- DIR [--device cpu|gpu|gpu:1] [--groups ops,losses] [--only NAME] [--verbose]
 *
 * On a GPU every case runs in float32 (GPUs have no float64), with the tolerances of the files, which are those of float32;
 * what it has no kernel for fails and is named.
 *
 * Prints a line a group, each failure with its largest error against its tolerance, the operations that do not exist
 * yet by name, and last `N passed, N failed, N skipped`. The exit status is 0 if nothing failed.
 */
import { parseArgs } from 'node:util'
import { hostGroups, runCases, type CaseResult } from './golden/run.js'
import { readCases } from './golden/cases.js'
import { describeDevice, openDevice } from '../src/train/device.js'
import type { DeviceName } from '../src/tensor/index.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cpu' },
    groups: { type: 'string' },
    only: { type: 'string' },
    verbose: { type: 'boolean', default: false },
  },
})

const [directory] = positionals
if (directory === undefined || positionals.length > 1) fail('give one directory of cases: npm run golden -- DIR')
const device = open(values.device)
if (device !== 'cpu') {
  console.log(`device ${describeDevice(device)}: everything in float32, with the tolerances of the files (float32's);`)
  console.log(`${hostGroups.join(' and ')} run on the CPU whatever the device`)
}

const groups = values.groups?.split(',').map((group) => group.trim())
const cases = readCases(directory, { groups, only: values.only })
if (cases.length === 0) fail(`${directory} has no such case`)

const total = { passed: 0, failed: 0, skipped: 0 }
for (const group of new Set(cases.map((entry) => entry.group))) {
  const own = cases.filter((entry) => entry.group === group)
  const start = performance.now()
  const results: CaseResult[] = []
  for await (const result of runCases(directory, own, device)) {
    results.push(result)
    if (result.status === 'failed') console.log(`  FAILED ${group}/${result.name} (${result.op}): ${result.detail}`)
    else if (result.float32 !== undefined)
      console.log(`  ${group}/${result.name}: passed in float64; float32 crosses a ReLU's kink, ${result.float32}`)
    else if (values.verbose) console.log(`  ${result.status} ${group}/${result.name}: ${result.detail}`)
  }
  const count = (status: CaseResult['status']) => results.filter((result) => result.status === status).length
  const [passed, failed, skipped] = [count('passed'), count('failed'), count('skipped')]
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  const refused = new Set(results.flatMap(({ detail, status }) => (status === 'failed' ? refusal(detail) : [])))
  if (refused.size > 0) console.log(`  ${group} fails without a kernel for the GPU: ${[...refused].sort().join(', ')}`)
  const missing = new Set(results.flatMap((result) => (result.status === 'skipped' ? [result.op] : [])))
  const names = missing.size > 0 ? `: ${[...missing].join(', ')}` : ''
  console.log(
    `${group}: ${passed} passed, ${failed} failed, ${skipped} skipped${names} (${own.length} cases, ${seconds} s)`,
  )
  total.passed += passed
  total.failed += failed
  total.skipped += skipped
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
process.exitCode = total.failed > 0 ? 1 : 0

function open(name: string): DeviceName {
  try {
    return openDevice(name as DeviceName)
  } catch (error) {
    return fail((error as Error).message)
  }
}

/** The operation that a GPU refused, from the error of a case. */
function refusal(detail: string): string[] {
  const found = /SptError: (\w+): (?:has no GPU path|runs on the CPU only)/.exec(detail)
  return found?.[1] === undefined ? [] : [found[1]]
}

function fail(message: string): never {
  console.error(message)
  process.exit(2)
}
