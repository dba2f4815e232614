/** `spt data stats` and `spt data show`: what the images of a configuration are like, and what the network sees of them. */
import { drawConfiguration, measureConfiguration, type DataPartName } from '../app/data.js'
import { SptError } from '../errors.js'
import { writeFileAtomically } from '../runs/atomic-file.js'
import { locate } from './run.js'
import { wholeNumbers } from './whole-numbers.js'

export interface DataCommandOptions {
  readonly part: string
}

export async function dataStats(
  config: string,
  overrides: readonly string[],
  { part, limit, json = false }: DataCommandOptions & { limit?: string; json?: boolean },
): Promise<number> {
  const most = limit === undefined ? undefined : wholeNumbers('--limit', limit, 1)[0]
  let told = Date.now()
  const found = await measureConfiguration(locate(config), overrides, partOf(part), {
    limit: most,
    onProgress(done, of) {
      if (Date.now() - told < 5000) return
      told = Date.now()
      console.error(`${done} of ${of} images`)
    },
  })
  if (json) console.log(JSON.stringify(found, null, 2))
  else {
    const { name, images, failed, mean, std, width, height } = found
    const unread = failed === 0 ? '' : `, ${failed} could not be read`
    const side = ([least, most]: readonly [number, number]) => (least === most ? `${least}` : `${least} to ${most}`)
    console.log(`# ${name}, ${part}: ${images} images, ${side(width)} wide, ${side(height)} high${unread}`)
    console.log(`- { type: normalize, mean: [${rounded(mean)}], std: [${rounded(std)}] }`)
  }
  return 0
}

export async function dataShow(
  config: string,
  overrides: readonly string[],
  { part, images, output }: DataCommandOptions & { images: string; output: string },
): Promise<number> {
  const count = wholeNumbers('--images', images, 1)[0] as number
  const { png, ...drawn } = await drawConfiguration(locate(config), overrides, partOf(part), { images: count })
  await writeFileAtomically(output, png)
  console.log(
    `${output}: ${drawn.images} images in rows, ${drawn.views} ${drawn.views === 1 ? 'view' : 'views'} of each`,
  )
  return 0
}

function partOf(name: string): DataPartName {
  if (name === 'train' || name === 'val' || name === 'test' || name === 'predict') return name
  throw new SptError('ERR_ARGUMENT', `--part: expected train, val, test or predict, got ${name}`)
}

const rounded = (values: readonly number[]) => values.map((value) => value.toFixed(4)).join(', ')
