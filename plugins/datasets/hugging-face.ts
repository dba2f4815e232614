/** A data set of the Hugging Face Hub, out of a folder or the hub's cache; fetched only where it is asked for. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { ParquetDataset, defineDataset, hubParquetFiles, splitInFolder, withColumns, z } from 'stable-pretraining'

export default defineDataset({
  name: 'hugging-face',
  aliases: ['HFDataset'],
  targets: ['stable_pretraining.data.HFDataset', 'stable_pretraining.data.datasets.HFDataset'],
  description: 'A data set of the Hugging Face Hub as Parquet files: from a folder, or the local cache of the hub.',
  config: z.object({
    path: z.string().describe('owner/name on the hub, or a folder of Parquet files'),
    name: z.string().optional().describe('a configuration of the data set, where it has several'),
    split: z.string().default('train').describe('which part'),
    revision: z.string().default('main').describe('branch, tag or commit'),
    download: z.boolean().default(false).describe('fetch what the cache lacks; without it nothing goes to the network'),
    cacheDir: z.string().optional().describe("the hub's cache; default: as HF_HUB_CACHE and HF_HOME say"),
    image: z.string().optional().describe('column of images; default: the one that is noted as such or holds bytes'),
    label: z
      .string()
      .nullable()
      .optional()
      .describe('column of class numbers; default: as noted, else label; null: none'),
    keep: z
      .array(z.string())
      .default([])
      .describe('further columns that batches hold: numbers, texts, lists, structures'),
    renameColumns: z.record(z.string(), z.string()).optional().describe('old name to new name'),
    removeColumns: z.array(z.string()).optional().describe('columns left out, after renaming'),
    cacheBytes: z.int().min(1).optional().describe('memory for unpacked pages; default 256 MiB'),
  }),
  async build({ config, root, log }) {
    const { path, name: configuration, split, renameColumns: rename = {}, removeColumns: remove = [] } = config
    const folder = resolve(root, path)
    const { revision, download, cacheDir } = config
    const cache = cacheDir === undefined ? undefined : resolve(root, cacheDir)
    const files = existsSync(folder)
      ? await splitInFolder(folder, { configuration, split })
      : await hubParquetFiles({
          repository: path,
          configuration,
          split,
          revision,
          download,
          cache,
          ...(log && { log }),
        })
    // A column that becomes `image` or `label` is the one to read as such; others that are renamed are kept.
    const source = (target: string) => Object.keys(rename).find((old) => rename[old] === target)
    const image = config.image ?? source('image')
    const label = config.label === undefined ? source('label') : config.label
    const others = Object.keys(rename).filter((old) => old !== image && old !== label)
    const dataset = await ParquetDataset.open({
      ...config,
      files,
      image,
      label,
      keep: [...new Set([...config.keep, ...others])],
      name: `${path} ${split}`,
    })
    const left = Object.fromEntries(others.map((old) => [old, rename[old] as string]))
    const present = remove.filter(
      (column) => column === 'label' || [...config.keep, ...Object.values(left)].includes(column),
    )
    return others.length + present.length === 0 ? dataset : withColumns(dataset, { rename: left, remove: present })
  },
})
