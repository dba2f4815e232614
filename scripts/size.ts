/** Lines of code a room, and what comes near its budget: printed by CI so that growth is seen when it happens. */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const rooms = [
  ...foldersOf('crates/core/src'),
  'crates/core/tests',
  ...foldersOf('src').filter((folder) => folder !== 'src/binding'),
  'plugins',
  '__test__',
  'examples',
  'benchmarks',
  'scripts',
]

console.log(`${'room'.padEnd(28)}${'files'.padStart(7)}${'lines'.padStart(9)}`)
let total = 0
for (const room of rooms) {
  const counts = sources(room).map((path) => linesOf(path))
  const lines = counts.reduce((sum, count) => sum + count, 0)
  total += lines
  if (lines > 0) console.log(`${room.padEnd(28)}${String(counts.length).padStart(7)}${String(lines).padStart(9)}`)
}
console.log(`${'all'.padEnd(28)}${''.padStart(7)}${String(total).padStart(9)}`)

const budgets: [string, RegExp, number][] = [
  ['a file', /^(src|scripts|crates\/core\/src\/(?!cpu|ops))/, 400],
  ['a plugin', /^plugins\//, 150],
  ['the trainer', /^src\/train\/trainer\.ts$/, 250],
  ['the container', /^src\/app\/container\.ts$/, 60],
]
const near = [...new Set(rooms.flatMap(sources))].flatMap((path) =>
  budgets
    .filter(([, pattern, limit]) => pattern.test(path) && linesOf(path) > 0.9 * limit)
    .map(([what, , limit]) => `${path}: ${linesOf(path)} of ${limit} lines (${what})`),
)
console.log(near.length === 0 ? 'no file is near its budget' : `near or over a budget:\n  ${near.join('\n  ')}`)
for (const file of existsSync(join(root, 'src/binding')) ? readdirSync(join(root, 'src/binding')) : []) {
  if (file.endsWith('.node'))
    console.log(`${file}: ${(statSync(join(root, 'src/binding', file)).size / 2 ** 20).toFixed(1)} MiB`)
}

/** A room is a folder, or the files that lie directly in its parent. */
function foldersOf(folder: string): string[] {
  const inside = readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return [...inside.map((entry) => `${folder}/${entry.name}`), `${folder}/*`]
}

function sources(room: string): string[] {
  const flat = room.endsWith('/*')
  const folder = flat ? room.slice(0, -2) : room
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: !flat, withFileTypes: true })
    .filter(
      (entry) => entry.isFile() && /\.(ts|rs|py|wgsl)$/.test(entry.name) && !entry.parentPath.includes('node_modules'),
    )
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
}

function linesOf(path: string): number {
  return readFileSync(join(root, path), 'utf8').trimEnd().split('\n').length
}
