/**
 * Puts what a suite of methods learnt, and what its PyTorch peers did, into `learning.jsonl` and `RESULTS.md`.
 *
 * Usage: npm run bench:learning -- <folder of the suite's tables> [lines of peers/methods.py]
 */
import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { learntOf, type PeerLine, type SuiteLine } from './harness/learning.js'
import { linesOf, originOf, recordLearning } from './harness/results-page.js'

const [output, peers] = process.argv.slice(2)
if (output === undefined || output.startsWith('-')) {
  console.error('Usage: npm run bench:learning -- <folder of the suite’s tables> [lines of peers/methods.py]')
  process.exit(2)
}
const { rows } = JSON.parse(readFileSync(join(output, 'results.json'), 'utf8')) as { rows: SuiteLine[] }
const { date, commit, machine } = originOf([])
const lines = peers === undefined ? [] : linesOf<PeerLine>(dirname(peers), basename(peers))
const learnt = learntOf(rows, lines, { date, commit, machine })
await recordLearning(import.meta.dirname, learnt)
console.error(`${learnt.length} of ${rows.length} rows are trained to their end; written to RESULTS.md`)
