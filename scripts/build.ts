/**
 * Builds the package: the native core (crates/core to src/binding) and the TypeScript (src, plugins to dist).
 * A part whose inputs did not change is skipped, so a machine without Rust can work on the TypeScript.
 *
 * Usage: tsx scripts/build.ts [native] [typescript]     (default: both)
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const binding = join(root, 'src', 'binding')
const stamp = join(binding, '.stamp')

const asked = process.argv.slice(2)
if (asked.length === 0 || asked.includes('native')) buildNative()
if (asked.length === 0 || asked.includes('typescript')) buildTypescript()

function buildNative(): void {
  const inputs = hash([
    'Cargo.toml',
    'Cargo.lock',
    ...files('crates').filter((path) => !/\/(tests|benches)\//.test(path)),
  ])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs && binaries().length > 0) return

  if (spawnSync('cargo', ['--version']).status !== 0) {
    fail(
      'Rust is missing, and the native core has to be built with it: install it from https://rustup.rs and run this again.',
    )
  }
  console.log('building the native core (some minutes the first time) …')
  const napi = join(dirname(createRequire(import.meta.url).resolve('@napi-rs/cli/package.json')), 'dist', 'cli.js')
  const options = '--platform --release --esm --manifest-path crates/core/Cargo.toml --package-json-path package.json'
  run(process.execPath, [
    napi,
    'build',
    ...options.split(' '),
    '--output-dir',
    'src/binding',
    '--js',
    'index.js',
    '--dts',
    'index.d.ts',
  ])
  writeFileSync(stamp, inputs)
}

function buildTypescript(): void {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc')
  run(process.execPath, [tsc, '-p', 'tsconfig.build.json'])
  removeStale()
  const main = join(root, 'dist', 'src', 'cli', 'main.js')
  if (existsSync(main)) chmodSync(main, 0o755)
}

/** A source that is gone must not live on in dist: the plugin folder is read as it lies there. */
function removeStale(): void {
  for (const path of files('dist').filter((path) => /\.(js|d\.ts)$/.test(path))) {
    const source = relative('dist', path).replace(/\.(js|d\.ts)$/, '.ts')
    if (!existsSync(join(root, source))) rmSync(join(root, path))
  }
}

/** Every file under a folder of the repository, sorted, as paths from its root. */
function files(folder: string): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .sort()
}

function binaries(): string[] {
  return existsSync(binding) ? readdirSync(binding).filter((name) => name.endsWith('.node')) : []
}

function hash(paths: readonly string[]): string {
  const digest = createHash('sha256').update(`${process.platform} ${process.arch}`)
  for (const path of paths) if (existsSync(join(root, path))) digest.update(path).update(readFileSync(join(root, path)))
  return digest.digest('hex')
}

function run(command: string, args: readonly string[]): void {
  const { status, signal } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(signal === 'SIGINT' ? 130 : (status ?? 1))
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
