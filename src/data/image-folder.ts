/** Image files in one folder a class, as torchvision's ImageFolder reads them, or in a folder without classes. Files are read when their batch is made, not before. */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { SptError, dataMissing, reason } from '../errors.js'
import { isMissing, readBytes } from './file.js'
import { checkIndex } from './in-memory.js'
import type { Dataset, Sample } from './sample.js'

/** Endings taken for images, in any case. */
export const imageExtensions = ['.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp'] as const

export interface ImageFolderOptions {
  /**
   * Whether the sub-folders of `root` are classes; without, every image below `root` belongs to the data set and has no label.
   * Default: where there are sub-folders.
   */
  readonly labels?: boolean | undefined
  readonly name?: string | undefined
}

export class ImageFolderDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly root: string
  /** Sub-folders of `root` in the order of their bytes: class 0 first. */
  readonly classes?: readonly string[]
  /** Relative to `root`, class by class, in the order of their bytes. */
  readonly files: readonly string[]
  readonly labels?: Uint32Array

  private constructor(name: string, root: string, files: readonly string[], labelled?: Labelled) {
    this.name = name
    this.root = root
    if (labelled !== undefined) {
      this.classes = labelled.classes
      this.labels = labelled.labels
    }
    this.files = files
    this.length = files.length
  }

  /**
   * Lists the images below `root/<class>/`, at any depth; those of a folder without sub-folders, or with `labels: false`, have no
   * labels. ERR_DATA where there is no image, or a class without any.
   */
  static async open(
    root: string,
    { labels: wanted, name = 'image-folder' }: ImageFolderOptions = {},
  ): Promise<ImageFolderDataset> {
    const classes = await classFolders(root)
    if (wanted === false || (wanted === undefined && classes.length === 0)) {
      const files = await imagesBelow(root, '')
      if (files.length > 0) return new ImageFolderDataset(name, root, files)
    }
    if (wanted === false || classes.length === 0) {
      const layout =
        wanted === undefined ? 'images, or one sub-folder a class' : wanted ? 'one sub-folder a class' : 'images'
      throw new SptError('ERR_DATA', `${root}: expected ${layout}, found none`, { hint: layoutHint })
    }
    const lists = await Promise.all(classes.map((folder) => imagesBelow(root, folder)))
    const empty = classes.filter((_, i) => lists[i]?.length === 0)
    if (empty.length > 0) {
      const message = `${root}: expected images (${imageExtensions.join(' ')}) in each class folder, found none in ${empty.slice(0, 5).join(', ')}`
      throw new SptError('ERR_DATA', message, { hint: layoutHint })
    }
    const labels = Uint32Array.from(lists.flatMap((list, label) => list.map(() => label)))
    return new ImageFolderDataset(name, root, lists.flat(), { classes, labels })
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const path = join(this.root, this.files[index] as string)
    const label = this.labels?.[index]
    return { image: { encoded: await readBytes(path), path }, ...(label !== undefined && { label }), index }
  }
}

interface Labelled {
  readonly classes: readonly string[]
  readonly labels: Uint32Array
}

const layoutHint =
  'The layout is <root>/<class name>/<image>, such as photos/daisy/1.jpg; with labels: false any folder of images.'

async function classFolders(root: string): Promise<string[]> {
  try {
    const entries = await readdir(root, { withFileTypes: true })
    return entries
      .filter((entry) => !entry.isFile() && !hidden(entry.name))
      .map((entry) => entry.name)
      .sort(byBytes)
  } catch (cause) {
    if (isMissing(cause)) throw dataMissing(root, 'folder of images', layoutHint)
    throw new SptError('ERR_DATA', `${root}: cannot be listed (${reason(cause)})`, { cause })
  }
}

async function imagesBelow(root: string, folder: string): Promise<string[]> {
  try {
    const entries = await readdir(join(root, folder), { withFileTypes: true, recursive: true })
    return entries
      .filter((entry) => !entry.isDirectory() && isImageName(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
      .filter((path) => !path.split('/').some(hidden))
      .sort(byBytes)
  } catch (cause) {
    throw new SptError('ERR_DATA', `${join(root, folder)}: cannot be listed (${reason(cause)})`, { cause })
  }
}

function isImageName(name: string): boolean {
  const lower = name.toLowerCase()
  return imageExtensions.some((extension) => lower.endsWith(extension))
}

const hidden = (name: string) => name.startsWith('.')

// Not the locale's order, which differs between machines.
const byBytes = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0)
