/** What a run ran on: versions, machine, threads, the state of the source. For people who ask later; nothing reads it back. */
import { execFile } from 'node:child_process'
import { cpus, hostname, totalmem } from 'node:os'
import { promisify } from 'node:util'
import { cpuInfo } from '../tensor/index.js'

export async function environment(): Promise<Record<string, unknown>> {
  const { NODE_OPTIONS, SPT_CACHE_DIR, SLURM_JOB_ID } = process.env
  return {
    time: new Date().toISOString(),
    command: process.argv,
    folder: process.cwd(),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    host: hostname(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryBytes: totalmem(),
    core: cpuInfo(),
    git: await gitState(),
    variables: { NODE_OPTIONS, SPT_CACHE_DIR, SLURM_JOB_ID },
  }
}

/** Commit, branch and whether files differ from it; null outside of a repository. */
async function gitState(): Promise<{ commit: string; branch: string; dirty: boolean } | null> {
  const git = async (...args: string[]): Promise<string> => (await promisify(execFile)('git', args)).stdout.trim()
  try {
    const [commit, branch, status] = await Promise.all([
      git('rev-parse', 'HEAD'),
      git('rev-parse', '--abbrev-ref', 'HEAD'),
      git('status', '--porcelain'),
    ])
    return { commit: commit as string, branch: branch as string, dirty: status !== '' }
  } catch {
    return null
  }
}
