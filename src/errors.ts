/**
 * Every error this package raises in TypeScript: one class, stable codes, one function a message.
 * It is not where the native core's messages are written; those arrive with the same codes (see `asSptError`).
 *
 * A message says what happened with the values, and where; the hint says what to do.
 */

/** Stable codes: programs may compare them, messages may change. */
export type ErrorCode =
  | 'ERR_SHAPE'
  | 'ERR_DTYPE'
  | 'ERR_ARGUMENT'
  | 'ERR_AUTOGRAD'
  | 'ERR_DISPOSED'
  | 'ERR_MEMORY'
  | 'ERR_CONFIG'
  | 'ERR_DATA'
  | 'ERR_PLUGIN'
  | 'ERR_CHECKPOINT'
  | 'ERR_UNSUPPORTED'
  | 'ERR_NONFINITE'
  | 'ERR_INTERNAL'

export class SptError extends Error {
  override readonly name = 'SptError'
  readonly code: ErrorCode
  /** What to do about it, one sentence. */
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
  }
}

/** The code of an error of ours or of the native core, else undefined. */
export function errorCode(error: unknown): ErrorCode | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && /^ERR_[A-Z]+$/.test(code) ? (code as ErrorCode) : undefined
}

/** The message of whatever was thrown. */
export function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}

// --- arguments -----------------------------------------------------------------------------------------------------

export const argumentInvalid = (where: string, expected: string, got: unknown, hint?: string) =>
  new SptError('ERR_ARGUMENT', `${where}: expected ${expected}, got ${show(got)}`, { hint })

export const shapeMismatch = (where: string, expected: string, got: readonly number[], hint?: string) =>
  new SptError('ERR_SHAPE', `${where}: expected ${expected}, got [${got.join(', ')}]`, { hint })

export const unsupported = (what: string, why: string, hint?: string) =>
  new SptError('ERR_UNSUPPORTED', `${what}: ${why}`, { hint })

export const nonFinite = (what: string, value: number, where: string, hint?: string) =>
  new SptError('ERR_NONFINITE', `${what} is ${value} at ${where}`, { hint })

export const diverged = (what: string, value: number, step: number) =>
  nonFinite(
    what,
    value,
    `step ${step}`,
    'Lower the learning rate, lengthen its warm-up, or set trainer.gradient_clip_val (for example 1.0); then resume from ' +
      'the last checkpoint, which was written before this step. If it happens at step 1, look for broken images or labels.',
  )

export const internal = (message: string) =>
  new SptError('ERR_INTERNAL', message, { hint: 'This is a bug of stable-pretraining; please report it.' })

// --- configuration -------------------------------------------------------------------------------------------------

/** One thing wrong in a configuration. `where` is `file:line:column path`, already joined. */
export type ConfigProblem = { where: string; message: string; hint?: string | undefined }

export const configInvalid = (problems: readonly ConfigProblem[]) =>
  new SptError('ERR_CONFIG', problems.map(({ where, message }) => `${where}: ${message}`).join('\n'), {
    hint: problems.find((problem) => problem.hint !== undefined)?.hint,
  })

export const configFileMissing = (path: string, hint?: string) =>
  new SptError('ERR_CONFIG', `${path}: no such configuration file`, {
    hint: hint ?? 'Give the path of a YAML file: spt run flowers.yaml',
  })

export const notACommand = (name: string, commands: readonly string[], suggestion: string | undefined) =>
  new SptError(
    'ERR_CONFIG',
    `"${name}" is neither a configuration file nor a command${suggestion === undefined ? '' : `; did you mean "spt ${suggestion}"?`}`,
    { hint: `Commands: ${commands.join(', ')}. A configuration is a YAML file: spt run flowers.yaml` },
  )

export const configUnreadable = (path: string, cause: unknown) =>
  new SptError('ERR_CONFIG', `${path}: cannot be read (${reason(cause)})`, { cause })

// --- plugins -------------------------------------------------------------------------------------------------------

export const pluginUnknown = (kind: string, name: string, suggestion: string | undefined, known: readonly string[]) =>
  new SptError(
    'ERR_PLUGIN',
    `unknown ${kind} "${name}"${suggestion === undefined ? '' : `; did you mean "${suggestion}"?`}`,
    {
      hint:
        known.length === 0
          ? `No ${kind} is known.`
          : `Known: ${known.join(', ')}. A third party's is named "./file.ts" or listed under "plugins:".`,
    },
  )

export const pluginLoadFailed = (name: string, from: string, cause: unknown) =>
  new SptError('ERR_PLUGIN', `plugin "${name}" could not be loaded from ${from}: ${reason(cause)}`, { cause })

export const pluginMalformed = (name: string, from: string, why: string) =>
  new SptError('ERR_PLUGIN', `plugin "${name}" (${from}) ${why}`, {
    hint: 'A plugin file exports by default what a define function returned (defineMethod, defineCallback, …), or an array of them.',
  })

export const pluginAmbiguous = (kind: string, name: string, origins: readonly string[]) =>
  new SptError('ERR_PLUGIN', `"${name}" names ${origins.length} plugins of kind ${kind}: from ${origins.join(', ')}`, {
    hint: 'Write the package before the name, such as my-package/my-method.',
  })

export const pluginOfOtherKind = (kind: string, name: string, other: string) =>
  new SptError('ERR_PLUGIN', `"${name}" is ${withArticle(other)}, not ${withArticle(kind)}`)

export const pluginFileMissing = (name: string, file: string) =>
  new SptError('ERR_PLUGIN', `plugin "${name}": there is no file ${file}`, {
    hint: 'A path is taken from the folder of the configuration file.',
  })

export const pluginNotInstalled = (name: string, folders: readonly string[]) =>
  new SptError('ERR_PLUGIN', `plugin package "${name}" is not installed (looked from ${folders.join(' and ')})`, {
    hint: `Install it: npm install ${name}`,
  })

export const pluginBuildFailed = (kind: string, name: string, cause: unknown) =>
  new SptError(errorCode(cause) ?? 'ERR_PLUGIN', `${kind} "${name}" could not be built: ${reason(cause)}`, {
    cause,
    hint: cause instanceof SptError ? cause.hint : undefined,
  })

// --- data ----------------------------------------------------------------------------------------------------------

export const dataMissing = (path: string, what: string, hint?: string) =>
  new SptError('ERR_DATA', `${path}: no such ${what}`, { hint })

export const dataCorrupt = (path: string, what: string, hint?: string) =>
  new SptError('ERR_DATA', `${path}: ${what}`, { hint })

/** The data of a run that is gone on with is not where it was. */
export const dataMoved = (cause: unknown, run: string) =>
  new SptError('ERR_DATA', reason(cause), {
    cause,
    hint: `If the data was moved, say where to: spt run --resume ${run} data.train.dataset.root=FOLDER data.val.dataset.root=FOLDER`,
  })

// --- checkpoints and runs ------------------------------------------------------------------------------------------

export const checkpointMissing = (path: string, hint?: string) =>
  new SptError('ERR_CHECKPOINT', `${path}: no checkpoint found`, { hint })

export const checkpointCorrupt = (path: string, why: string, hint?: string) =>
  new SptError('ERR_CHECKPOINT', `${path}: ${why}`, { hint })

/** A file of a run, or its folder, that the system does not let us write. */
export const fileUnwritable = (path: string, cause: unknown) =>
  new SptError('ERR_CHECKPOINT', `${path}: cannot be written (${reason(cause)})`, {
    cause,
    hint: 'Free space, or choose another place for runs: cache_dir=FOLDER, or the environment variable SPT_CACHE_DIR.',
  })

export const nativeMissing = (cause: unknown) =>
  new SptError('ERR_UNSUPPORTED', `the native core could not be loaded: ${reason(cause)}`, {
    cause,
    hint: 'Install the package of your platform (npm does it unless --omit=optional was given), or build it: npm run build:native',
  })

/** "an optimizer", "a method". */
export const withArticle = (noun: string) => `${/^[aeiou]/.test(noun) ? 'an' : 'a'} ${noun}`

/** A value in an error message: short, and never a page of numbers. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'function') return 'a function'
  const text = typeof value === 'object' && value !== null ? JSON.stringify(value, digits) : String(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** JSON has no whole numbers beyond the safe ones. */
const digits = (_: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value)
