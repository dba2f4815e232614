/** Image files in one folder a class, as torchvision's ImageFolder reads them. Files are read when their batch is made, not before. */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { SptError, dataMissing, reason } from '../errors.js'
import { isMissing, readBytes } from './file.js'
import { checkIndex } from './in-memory.js'
import type { Dataset, Sample } from './sample.js'

/** Endings taken for images, in any case. */
export const imageExtensions = ['.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp'] as const

export class ImageFolderDataset implements Dataset {
  readonly name: string
  readonly length: number
  readonly root: string
  /** Sub-folders of `root` in the order of their bytes: class 0 first. */
  readonly classes: readonly string[]
  /** Relative to `root`, class by class, in the order of their bytes. */
  readonly files: readonly string[]
  readonly labels: Uint32Array

  private constructor(
    name: string,
    root: string,
    classes: readonly string[],
    files: readonly string[],
    labels: Uint32Array,
  ) {
    this.name = name
    this.root = root
    this.classes = classes
    this.files = files
    this.labels = labels
    this.length = files.length
  }

  /** Lists the images below `root/<class>/`, at any depth. ERR_DATA where there is no class, or a class without images. */
  static async open(root: string, name = 'image-folder'): Promise<ImageFolderDataset> {
    const classes = await classFolders(root)
    if (classes.length === 0) {
      throw new SptError('ERR_DATA', `${root}: expected one sub-folder a class, found none`, { hint: layoutHint })
    }
    const lists = await Promise.all(classes.map((folder) => imagesBelow(root, folder)))
    const empty = classes.filter((_, i) => lists[i]?.length === 0)
    if (empty.length > 0) {
      const message = `${root}: expected images (${imageExtensions.join(' ')}) in each class folder, found none in ${empty.slice(0, 5).join(', ')}`
      throw new SptError('ERR_DATA', message, { hint: layoutHint })
    }
    const labels = Uint32Array.from(lists.flatMap((list, label) => list.map(() => label)))
    return new ImageFolderDataset(name, root, classes, lists.flat(), labels)
  }

  async get(index: number): Promise<Sample> {
    checkIndex(this, index)
    const path = join(this.root, this.files[index] as string)
    return { image: { encoded: await readBytes(path), path }, label: this.labels[index] as number, index }
  }
}

const layoutHint = 'The layout is <root>/<class name>/<image>, such as photos/daisy/1.jpg.'

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
      .filter((entry) => !entry.isDirectory() && !hidden(entry.name) && isImageName(entry.name))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
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
