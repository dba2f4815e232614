/** Who runs a case: our program, and the strongest peers for that work and precision. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spawnSync } from 'node:child_process'
import type { Order } from '../ours/program.js'
import { photosPlace, smallPictures } from '../ours/pictures.js'
import { parquetFile } from '../ours/parquet-place.js'
import { imagesOf, type Case } from './cases.js'
import type { Setting } from './options.js'
import type { Contender } from './turns.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

export function ours(
  work: Case,
  setting: Setting,
  { instructionSet, profile = false }: { instructionSet?: string; profile?: boolean } = {},
): Contender {
  const order: Order = { work, setting, profile, ...(instructionSet !== undefined && { instructionSet }) }
  return {
    peer: 'ours',
    command: process.execPath,
    args: ['--import', 'tsx', join(root, 'benchmarks', 'ours', 'program.ts'), JSON.stringify(order)],
  }
}

/** A program of `benchmarks/peers` and what it imports. */
interface PeerProgram {
  readonly peer: string
  readonly packages: readonly string[]
  readonly file: string
  readonly args: readonly (string | number)[]
}

/** The peers of a case: what is known to be fastest there, and what people use. */
function programs(work: Case, { precision }: Setting): PeerProgram[] {
  const torch = (file: string, ...args: (string | number)[]) => ({
    peer: 'pytorch',
    packages: ['torch'],
    file: `${file}.py`,
    args,
  })
  switch (work.kind) {
    case 'gemm':
      return [
        torch('torch_kernels', 'gemm', ...work.sizes, precision),
        { peer: 'jax', packages: ['jax'], file: 'jax_gemm.py', args: [...work.sizes, precision] },
      ]
    case 'conv': {
      const { images, channels, side, backward } = work
      return [torch('torch_kernels', 'conv', images, channels, side, backward ? 'fwdbwd' : 'fwd', precision)]
    }
    case 'knn':
      return [torch('torch_kernels', 'knn', work.rows, work.dim, work.queries, precision)]
    case 'step': {
      const layout = work.network === 'simclr-r18' ? ['channels-last'] : []
      return ['compile', 'eager'].map((mode) =>
        torch('torch_step', work.network, work.images, precision, mode, ...layout),
      )
    }
    case 'run':
      return []
    case 'decode':
      return [
        reader('opencv', ['cv2'], 'decode', photosPlace(), imagesOf(work) ?? 0),
        reader('pillow', ['PIL'], 'decode', photosPlace(), imagesOf(work) ?? 0),
      ]
    case 'parquet':
      return [reader('pyarrow', ['pyarrow', 'PIL'], 'parquet', parquetFile, imagesOf(work) ?? 0)]
    case 'augment': {
      const [place, side] = work.pictures === 'cifar' ? [smallPictures().file, 32] : [photosPlace(), 224]
      return ['albumentations', 'torchvision'].map((library) => ({
        peer: library,
        packages: ['torch', library],
        file: 'augment.py',
        args: [library, work.pictures, place, imagesOf(work) ?? 0, side],
      }))
    }
  }
}

function reader(peer: string, packages: readonly string[], ...args: (string | number)[]): PeerProgram {
  return { peer, packages: ['torch', ...packages], file: 'reading.py', args: [peer, ...args] }
}

/**
 * The peers' processes; an Error with the command that installs it for one that is missing. Their Python is that of
 * SPT_PEER_PYTHON (JAX: SPT_PEER_JAX_PYTHON, where it is apart), else `target/peers`.
 */
export function peersOf(work: Case, setting: Setting): (Contender | Error)[] {
  return programs(work, setting).map(({ peer, packages, file, args }) => {
    const command = pythonWith(packages)
    if (command instanceof Error) return command
    const env = {
      BENCH_THREADS: String(setting.threads),
      OMP_NUM_THREADS: String(setting.threads),
      MKL_NUM_THREADS: String(setting.threads),
      OPENBLAS_CORETYPE: undefined,
      OPENBLAS_L2_SIZE: undefined,
      TORCHINDUCTOR_CACHE_DIR: process.env['TORCHINDUCTOR_CACHE_DIR'] ?? join(root, 'target', 'bench', 'inductor'),
    }
    return { peer, command, args: [join(root, 'benchmarks', 'peers', file), ...args.map(String)], env }
  })
}

const installed = join(
  root,
  'target',
  'peers',
  ...(process.platform === 'win32' ? ['Scripts', 'python.exe'] : ['bin', 'python']),
)

function pythonWith(packages: readonly string[]): string | Error {
  const variable = packages.includes('jax') ? 'SPT_PEER_JAX_PYTHON' : 'SPT_PEER_PYTHON'
  const python = process.env[variable] ?? process.env['SPT_PEER_PYTHON'] ?? installed
  const install =
    `install the peers: python3 -m venv target/peers && target/peers/bin/pip install -r benchmarks/peers/requirements.txt, ` +
    `or name a Python that has them: ${variable}=/path/to/python`
  if (python === installed && !existsSync(installed))
    return new Error(`there is no Python for the peers (${installed}); ${install}`)
  const missing = missingOf(python, packages)
  if (missing === undefined) return new Error(`${python} does not run; ${install}`)
  if (missing.length > 0) return new Error(`${python} has no ${missing.join(', ')}; ${install}`)
  return python
}

const asked = new Map<string, string[] | undefined>()

/** Packages that a Python lacks; undefined where it does not run at all. */
function missingOf(python: string, packages: readonly string[]): string[] | undefined {
  const key = [python, ...packages].join(' ')
  if (!asked.has(key)) {
    const program =
      'import importlib.util, sys; print(*[name for name in sys.argv[1:] if not importlib.util.find_spec(name)])'
    const { status, stdout } = spawnSync(python, ['-c', program, ...packages], { encoding: 'utf8' })
    asked.set(key, status === 0 ? stdout.split(/\s+/).filter((name) => name !== '') : undefined)
  }
  return asked.get(key)
}
