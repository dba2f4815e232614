/** Which files a path means: itself, those of a folder, or those of a pattern. Nothing is fetched from anywhere. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { SptError, dataCorrupt, dataMissing, reason, unsupported } from '../errors.js'
import { isMissing } from './file.js'

/**
 * The files of a path: of a folder those with one of the endings, in the order of their names; of a pattern the numbers of its braces, as
 * in `train-{000..012}.tar`, and names with anything for `*`, as in `train-*.tar`. ERR_DATA where there is none, ERR_UNSUPPORTED for a URL.
 */
export async function filesOf(pattern: string, endings: readonly string[]): Promise<string[]> {
  if (/(^|[\\/])[a-z][a-z\d+.-]+:[\\/]/.test(pattern) || pattern.startsWith('pipe:')) {
    const hint =
      'Fetch the files once, such as with download() of this package, curl or hf download, and name where they lie.'
    throw unsupported(pattern, 'data sets are read from files, not over the network', hint)
  }
  const braces = /\{(\d+)\.\.(\d+)\}/.exec(pattern)
  if (braces !== null) {
    const [whole, from = '', to = ''] = braces
    const count = Number(to) - Number(from) + 1
    if (count < 1 || count > 1e6) throw dataMissing(pattern, 'range of files')
    const numbers = Array.from({ length: count }, (_, i) => `${Number(from) + i}`.padStart(from.length, '0'))
    return (await Promise.all(numbers.map((number) => filesOf(pattern.replace(whole, number), endings)))).flat()
  }
  const named = basename(pattern)
  if (named.includes('*')) {
    const parts = named.split('*').map((part) => part.replaceAll(/[\\^$.|?+()[\]{}]/g, String.raw`\$&`))
    return listed(dirname(pattern), new RegExp(`^${parts.join('.*')}$`), pattern)
  }
  try {
    if (!(await stat(pattern)).isDirectory()) return [pattern]
  } catch (cause) {
    if (isMissing(cause))
      throw dataMissing(pattern, 'file', 'Check the path; relative paths start at the folder of the configuration.')
    throw dataCorrupt(pattern, `cannot be read (${reason(cause)})`)
  }
  const ending = new RegExp(`(${endings.map((each) => each.replaceAll('.', String.raw`\.`)).join('|')})$`)
  return listed(pattern, ending, join(pattern, `*${endings[0] ?? ''}`))
}

async function listed(folder: string, wanted: RegExp, what: string): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => wanted.test(name) && !name.startsWith('.')).sort()
    if (names.length === 0) throw dataMissing(what, 'file')
    return names.map((name) => join(folder, name))
  } catch (cause) {
    if (cause instanceof SptError) throw cause
    if (isMissing(cause)) throw dataMissing(folder, 'folder')
    throw dataCorrupt(folder, `cannot be listed (${reason(cause)})`)
  }
}
