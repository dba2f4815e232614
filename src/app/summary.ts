/** What the networks of a configuration look like, without starting a run. */
import { disposeBatch, type DataModule } from '../data/index.js'
import { SptError } from '../errors.js'
import { countParameters, summary, type Summary } from '../nn/index.js'
import { manualSeed } from '../tensor/index.js'
import { viewsOf } from '../train/index.js'
import { loadConfig } from './config.js'
import { runContainer, services } from './run.js'

export interface ConfigurationSummary {
  /** The backbone on one image. */
  readonly backbone: Summary & { readonly name: string; readonly dim: number }
  /** The other networks of the method; none where the data were not read. */
  readonly networks: ReadonlyArray<{ name: string; type: string; parameters: number; trainableParameters: number }>
}

/**
 * Builds the networks of a configuration and counts. The image is of the shape that the training data have after their
 * transforms; with `image` ([channels, height, width]) no data are read, and only the backbone is described.
 *
 * @throws ERR_CONFIG, ERR_PLUGIN, ERR_DATA as a run would.
 */
export async function summarizeConfiguration(
  file: string,
  overrides: readonly string[] = [],
  { image }: { image?: readonly number[] | undefined } = {},
): Promise<ConfigurationSummary> {
  const loaded = await loadConfig(file, overrides)
  manualSeed(loaded.config.seed)
  // Nothing is written: what would go to the run's directory is not built.
  const run = runContainer(loaded, { path: loaded.folder, id: '', lastCheckpoint: '' })
  try {
    const shape = image ?? (await imageShape(await run.get(services.data)))
    const { module, dim, name } = await run.get(services.backbone)
    const backbone = { name, dim, ...summary(module, [1, ...shape]) }
    if (image !== undefined) return { backbone, networks: [] }
    const children = [...(await run.get(services.module)).namedChildren()]
    const networks = children
      .filter(([, network]) => network !== module && countParameters(network).parameters > 0)
      .map(([child, network]) => ({ name: child, type: network.constructor.name, ...countParameters(network) }))
    return { backbone, networks }
  } finally {
    await run.dispose()
  }
}

/** [channels, height, width] of the first training image. */
async function imageShape(data: DataModule): Promise<number[]> {
  for await (const batch of data.train ?? data.val ?? []) {
    const shape = viewsOf(batch)[0]?.image.shape.slice(1)
    disposeBatch(batch)
    if (shape) return shape
  }
  throw new SptError('ERR_DATA', 'the data of this configuration hold no image to take the shape of', {
    hint: 'Give it: --image 3,224,224',
  })
}
