/**
 * Makes the Python environment with which the interchange tests compare: `target/peers`, from the pinned versions in
 * `__test__/interchange/requirements.txt`. Does nothing where it is up to date. With `--torch`, PyTorch, torchvision
 * and timm too (several gigabytes).
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const environment = join(root, 'target', 'peers')
const python = join(environment, ...(process.platform === 'win32' ? ['Scripts', 'python.exe'] : ['bin', 'python']))
const lists = ['requirements.txt', ...(process.argv.includes('--torch') ? ['requirements-torch.txt'] : [])].map(
  (name) => join(root, '__test__', 'interchange', name),
)
const wanted = lists.map((path) => readFileSync(path, 'utf8')).join('\n')
const stamp = join(environment, 'installed.txt')

if (existsSync(stamp) && readFileSync(stamp, 'utf8').startsWith(wanted)) {
  console.log(`${environment} is up to date`)
} else {
  if (!existsSync(python)) run(process.env['PYTHON'] ?? 'python3', ['-m', 'venv', environment])
  run(python, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    ...lists.flatMap((path) => ['-r', path]),
  ])
  writeFileSync(stamp, wanted)
}

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, { stdio: 'inherit', cwd: root })
  if (status === 0) return
  console.error(`${command} ${args.join(' ')}: ${error?.message ?? `ended with status ${status}`}`)
  process.exit(1)
}
