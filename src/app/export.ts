/** The backbone of a run, out of its checkpoint, as a file of its own for other programs. */
import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { PluginUse } from '../config/reference.js'
import { argumentInvalid, checkpointMissing, SptError } from '../errors.js'
import { loadPretrained } from '../nn/index.js'
import { exportOnnx } from '../onnx/index.js'
import { openRunDirectory } from '../runs/run-directory.js'
import { writeSafetensors } from '../tensor/index.js'
import { loadConfig, type RunConfig } from './config.js'
import { build } from './run.js'

export const exportFormats = ['onnx', 'safetensors'] as const
export type ExportFormat = (typeof exportFormats)[number]

export interface ExportRunOptions {
  format: ExportFormat
  output: string
  /** [channels, height, width] of an image for ONNX; by default what the run's transforms make. */
  image?: readonly number[] | undefined
  opset?: number | undefined
}

/**
 * Writes the backbone of a run to a file: as a safetensors file under PyTorch's names, or as an ONNX model.
 *
 * @param source the folder of a run, or one of its checkpoints (`…/checkpoints/best.ckpt`).
 * @throws ERR_CHECKPOINT when there is no run or no checkpoint, ERR_UNSUPPORTED for what ONNX has no form for.
 */
export async function exportRun(
  source: string,
  options: ExportRunOptions,
): Promise<{ checkpoint: string; image?: number[] }> {
  const { config, folder, checkpoint } = await openRun(source)
  const { definition, config: given } = config.backbone
  // Its start weights are in the checkpoint by now, trained further; the file they came from may be gone.
  const use = { ...config.backbone, config: { ...(given as object), pretrained: undefined } } as PluginUse<'backbone'>
  const { module } = await build(use, { seed: config.seed, root: folder, log: () => undefined })
  await loadPretrained(module, checkpoint)
  if (options.format === 'safetensors') {
    const metadata = { format: 'pt', architecture: definition.name }
    await writeSafetensors(options.output, module.stateDict(), { metadata })
    return { checkpoint }
  }
  const image = [...(options.image ?? imageOf(config))]
  await exportOnnx(module, [1, ...image], options.output, options.opset === undefined ? {} : { opset: options.opset })
  return { checkpoint, image }
}

async function openRun(source: string): Promise<{ config: RunConfig; folder: string; checkpoint: string }> {
  const path = resolve(source)
  const found = await stat(path).catch(() => {
    throw checkpointMissing(path, 'Give the folder of a run, or one of its checkpoints.')
  })
  const run = found.isDirectory() ? path : dirname(dirname(path))
  const { directory, record } = await openRunDirectory(run)
  const { config, folder } = await loadConfig(join(directory.path, 'config.yaml'), [], record.folder)
  return { config, folder, checkpoint: found.isDirectory() ? directory.lastCheckpoint : path }
}

/** The images that validation sees, or training: what the last transform with a size makes of them. */
function imageOf({ data, backbone }: RunConfig): number[] {
  const lists = [data.val?.transform, data.train?.transform, data.transform]
  for (const uses of lists) {
    const sizes = (uses ?? []).map(({ config }) => (config as { size?: unknown }).size)
    const size = sizes.findLast((one) => one !== undefined && one !== null)
    const [height, width = height] = [size].flat()
    const { inChannels = 3 } = backbone.config as { inChannels?: number }
    if (typeof height === 'number' && typeof width === 'number') return [inChannels, height, width]
  }
  throw new SptError('ERR_CONFIG', 'the configuration of this run names no image size', {
    hint: 'Give it: --image 3,224,224',
  })
}

/** From what was typed, or the ending of the output. */
export function exportFormatOf(format: string | undefined, output: string): ExportFormat {
  const wanted = format ?? output.split('.').at(-1) ?? ''
  const found = exportFormats.find((one) => one === wanted)
  if (found) return found
  throw argumentInvalid('--format', exportFormats.join(' or '), wanted)
}
