/** Tensors as a Parquet file: a row a sample, vectors as lists. Reading is `data/parquet`. */
import type { ColumnSource, SchemaElement } from 'hyparquet-writer'
import { SptError } from '../errors.js'
import { writeFileAtomically } from '../runs/atomic-file.js'
import type { Tensor } from '../tensor/index.js'

const types = { float32: 'FLOAT', float64: 'DOUBLE', int64: 'INT64', uint8: 'INT32', bool: 'BOOLEAN' } as const

/**
 * Writes tensors of as many rows each: [rows] becomes a column of numbers, [rows, width] one of lists. The file appears
 * whole or not at all.
 *
 * @throws ERR_SHAPE for other shapes and for different numbers of rows, ERR_UNSUPPORTED for a type without a column.
 */
export async function writeParquet(path: string, columns: Readonly<Record<string, Tensor>>): Promise<void> {
  // Loaded when a file is written: few runs do.
  const { ByteWriter, parquetWrite } = await import('hyparquet-writer')
  const entries = Object.entries(columns)
  const rows = entries[0]?.[1].shape[0]
  const schema: SchemaElement[] = [{ name: 'root', num_children: entries.length }]
  const columnData: ColumnSource[] = []
  for (const [name, tensor] of entries) {
    const { shape, dtype } = tensor
    if (shape.length < 1 || shape.length > 2 || shape[0] !== rows) {
      throw new SptError(
        'ERR_SHAPE',
        `writeParquet: "${name}" is [${shape.join(', ')}], expected [${rows ?? 'rows'}] or [${rows ?? 'rows'}, width]`,
        { hint: 'Flatten it, or write a .npz file.' },
      )
    }
    const type = types[dtype as keyof typeof types]
    if (type === undefined) {
      throw new SptError('ERR_UNSUPPORTED', `writeParquet: "${name}" is ${dtype}, which Parquet has no column for`, {
        hint: 'Convert it by .to("float32").',
      })
    }
    const values = await valuesOf(tensor)
    if (shape.length === 1) {
      schema.push({ name, type, repetition_type: 'REQUIRED' })
      columnData.push({ name, data: values })
    } else {
      schema.push(
        { name, repetition_type: 'REQUIRED', converted_type: 'LIST', logical_type: { type: 'LIST' }, num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type, repetition_type: 'REQUIRED' },
      )
      const width = shape[1] as number
      columnData.push({
        name,
        data: Array.from({ length: shape[0] as number }, (_, row) => values.slice(row * width, (row + 1) * width)),
      })
    }
  }
  const writer = new ByteWriter()
  // Floats of embeddings do not shrink, and the minimum of a component says nothing.
  parquetWrite({ writer, columnData, schema, codec: 'UNCOMPRESSED', statistics: false, rowGroupSize: 10_000 })
  await writeFileAtomically(path, writer.getBytes())
}

async function valuesOf(tensor: Tensor): Promise<(number | bigint | boolean)[]> {
  const values = Array.from<number | bigint>((await tensor.data()) as Iterable<number | bigint>)
  return tensor.dtype === 'bool' ? values.map(Boolean) : values
}
