/**
 * What a user installs: packs the package and the one of this platform, installs both in an empty folder, and runs the
 * command and the library there with no Rust in sight. Writes its counts to `target/test/packages.json`.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'spt-packages-')))
const home = join(folder, 'project')
// Neither Rust nor this repository can be reached from there.
const environment = { ...process.env, PATH: pathWithout('cargo'), NODE_PATH: '', INIT_CWD: home }

try {
  const binary = readdirSync(join(root, 'src/binding')).find((file) => file.endsWith('.node'))
  if (binary === undefined) throw new Error('there is no native core in src/binding; run: npm run build')
  const platform = binary.split('.').at(-2)!
  const tarballs = [packMain(), packPlatform(platform, binary)]
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), '{"name":"somebodys-project","private":true,"type":"module"}')
  npm(['install', '--prefer-offline', '--no-audit', '--no-fund', ...tarballs], home)
  report(checks(platform))
} finally {
  rmSync(folder, { recursive: true, force: true })
}

interface Check {
  readonly what: string
  readonly holds: boolean
  readonly detail: string
}

function checks(platform: string): Check[] {
  const spt = join(home, 'node_modules', '.bin', 'spt')
  const doctor = run(spt, ['doctor', '--json'])
  const binding = doctor.status === 0 ? (JSON.parse(doctor.output) as { binding: string }).binding : ''
  const expected = join(home, 'node_modules', `stable-pretraining-${platform}`)
  const plugins = run(spt, ['plugins', '--json'])
  const program = `import { tensor, defineCallback, z } from 'stable-pretraining'
const sum = await tensor([1, 2, 3]).sum().item()
console.log(sum, typeof defineCallback, typeof z.object)`
  writeFileSync(join(home, 'program.js'), program)
  const library = run(process.execPath, ['program.js'])
  writeFileSync(join(home, 'wrong.yaml'), 'seed: -1\n')
  const wrong = run(spt, ['run', 'wrong.yaml'])
  return [
    { what: 'Rust is out of reach', holds: run('cargo', ['--version']).status !== 0, detail: environment.PATH },
    { what: 'spt doctor runs', holds: doctor.status === 0, detail: doctor.output },
    {
      what: "it loads the platform package's binary",
      holds: binding.startsWith(expected),
      detail: `${binding}, expected below ${expected}`,
    },
    {
      what: 'spt plugins lists the built-in ones',
      holds: plugins.status === 0 && plugins.output.includes('"simclr"'),
      detail: plugins.output,
    },
    { what: 'the library computes', holds: library.output.trim() === '6 function function', detail: library.output },
    {
      what: 'a wrong configuration is refused with its place',
      holds: wrong.status === 1 && wrong.output.includes('wrong.yaml:1:1 seed'),
      detail: wrong.output,
    },
    { what: 'sources, tests and binaries are not in the package', holds: clean(), detail: listing() },
  ]
}

function report(results: readonly Check[]): void {
  for (const { what, holds, detail } of results)
    console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds ? '' : `: ${detail.slice(0, 1000)}`}`)
  const counts = {
    passed: results.filter(({ holds }) => holds).length,
    failed: results.filter(({ holds }) => !holds).length,
  }
  mkdirSync(join(root, 'target/test'), { recursive: true })
  writeFileSync(join(root, 'target/test/packages.json'), JSON.stringify({ packages: counts }))
  console.log(`packages ${counts.passed} passed, ${counts.failed} failed`)
  process.exitCode = counts.failed === 0 ? 0 : 1
}

function packMain(): string {
  return pack(root)
}

/** The stub of the platform with the binary beside it, as the release puts it together. */
function packPlatform(platform: string, binary: string): string {
  const stub = join(folder, platform)
  cpSync(join(root, 'npm', platform), stub, { recursive: true })
  cpSync(join(root, 'src/binding', binary), join(stub, binary))
  return pack(stub)
}

function pack(from: string): string {
  const output = npm(['pack', '--json', '--ignore-scripts', '--pack-destination', folder], from)
  const packed = JSON.parse(output) as unknown
  // npm 11 answers with a list, npm 12 with an object by package name.
  const [{ filename }] = Object.values(packed as object) as [{ filename: string }]
  return join(folder, filename)
}

function npm(args: readonly string[], cwd: string): string {
  return execFileSync('npm', args, {
    cwd,
    env: environment,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32',
  })
}

function run(command: string, args: readonly string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: home, env: environment, encoding: 'utf8' })
  return { status, output: `${stdout ?? ''}${status === 0 ? '' : (stderr ?? '')}` }
}

function listing(): string {
  return readdirSync(join(home, 'node_modules/stable-pretraining'), { recursive: true }).join('\n')
}

function clean(): boolean {
  const forbidden = /(^|\/)(crates|__test__|target|examples|benchmarks)(\/|$)|\.node$|\.tsbuildinfo$/
  return !listing()
    .split('\n')
    .filter((path) => !path.startsWith('node_modules'))
    .some((path) => forbidden.test(path))
}

/** PATH without the folders that hold a program; Node's own folder stays, by a link of its own where they share one. */
function pathWithout(program: string): string {
  const kept = (process.env['PATH'] ?? '').split(delimiter).filter((place) => !existsSync(join(place, program)))
  return [...new Set([dirname(process.execPath), ...kept])].join(delimiter)
}
