/** Lists of images as CSV and JSON lines: what real ones look like, and what is wrong with others. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readCsv } from '../../src/data/csv.js'
import { ManifestDataset, type ManifestOptions } from '../../src/data/manifest.js'
import { fixture, temporaryFolder } from './fixtures.js'

const folder = await temporaryFolder()
const root = fixture('photos')
const [daisy, rose] = ['daisy/1140299375_3aa7024466.jpg', 'roses/11233672494_d8bf0a3dbf_n.jpg']

async function open(name: string, text: string, options: Partial<ManifestOptions> = {}): Promise<ManifestDataset> {
  const path = join(folder, name)
  await writeFile(path, text)
  return ManifestDataset.open({ path, root, ...options })
}

const failing = (name: string, text: string, options: Partial<ManifestOptions> = {}) =>
  open(name, text, options).then(
    () => undefined,
    (error: unknown) => error as { code: string; message: string; hint: string },
  )

describe('CSV', () => {
  test('a header, quotes, empty lines, Windows line ends, a byte order mark', async () => {
    const text = `\uFEFFfile_name,label,note\r\n${daisy},daisy,"a, ""b""\r\nc"\r\n\r\n"${rose}",rose,\r\n`
    const list = await open('a.csv', text, { keep: ['note'] })
    expect(list).toMatchObject({ length: 2, classes: ['daisy', 'rose'], files: [daisy, rose] })
    const { image, ...rest } = await list.get(0)
    expect(rest).toEqual({ label: 0, index: 0, note: 'a, "b"\nc' })
    expect(image).toMatchObject({ path: join(root, daisy) })
    expect(await list.get(1)).toMatchObject({ label: 1, note: '' })
  })

  test('fields agree with RFC 4180', async () => {
    const path = join(folder, 'fields.csv')
    await writeFile(path, 'a,b\n"1 ""2"" 3",\n,"x\ny"\n"",","')
    const rows: unknown[] = []
    for await (const { line, value } of readCsv(path)) rows.push([line, ...value])
    expect(rows).toEqual([
      [1, 'a', 'b'],
      [2, '1 "2" 3', ''],
      [3, '', 'x\ny'],
      [5, '', ','],
    ])
  })

  test('without a header, by tabs, labels as numbers, another column, no labels', async () => {
    const numbers = await open('b.tsv', `${daisy}\t2\n${rose}\t0\n`, { columns: ['path', 'label'] })
    expect(numbers).toMatchObject({ classes: ['0', '1', '2'], labels: Uint32Array.of(2, 0) })
    const other = await open('c.csv', `who,picture,label\nx,${daisy},a\n`, { image: 'picture', label: 'who' })
    expect(other).toMatchObject({ files: [daisy], classes: ['x'] })
    expect(await (await open('d.csv', `path,label\n${daisy},a\n`, { label: null })).get(0)).not.toHaveProperty('label')
    const named = await open('e.csv', `path,label\n${daisy},b\n${rose},0\n`, { classes: ['a', 'b'] })
    expect(named.labels).toEqual(Uint32Array.of(1, 0))
  })

  test('a long list is read in pieces', async () => {
    const lines = Array.from({ length: 40_000 }, (_, i) => `folder/image-${i}.jpg,${i % 7}`)
    const list = await open('long.csv', `path,label\n${lines.join('\n')}\n`)
    expect(list.length).toBe(40_000)
    expect(list.files[39_999]).toBe('folder/image-39999.jpg')
    expect(list.labels?.[39_999]).toBe(39_999 % 7)
  })
})

test('JSON lines, as image folders of the Hugging Face Hub have them', async () => {
  const list = await open(
    'metadata.jsonl',
    `{"file_name": "${daisy}", "label": 1, "text": "é"}\n\n{"file_name": "${rose}", "label": 0, "text": ""}\n`,
    { keep: ['text'] },
  )
  expect(list.classes).toEqual(['0', '1'])
  expect(await list.get(0)).toMatchObject({ label: 1, text: 'é' })
})

test('paths start at the folder of the list', async () => {
  const path = join(folder, 'relative.csv')
  await writeFile(path, `path\n${join(root, daisy)}\nnot-there.jpg\n`)
  const list = await ManifestDataset.open({ path })
  expect(await list.get(0)).toMatchObject({ index: 0 })
  await expect(list.get(1)).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining(join(folder, 'not-there.jpg')),
  })
})

test.each([
  ['x.csv', 'path,label\na,b,c\n', /x\.csv:2: expected 2 fields \(path, label\), found 3/],
  ['x.csv', 'picture,label\na,b\n', /x\.csv:2: expected paths in column file_name or path/],
  ['x.csv', 'path,label\n,b\n', /x\.csv:2: expected a path in column path/],
  ['x.csv', 'path,label\na,\n', /x\.csv:2: expected a label in column label/],
  ['x.csv', 'path,label\n', /it lists no image/],
  ['x.csv', 'path,label\n"a,b\n', /x\.csv:2: a quote is opened/],
  ['x.csv', `path,label\n"${'a\n'.repeat(600_000)}`, /x\.csv:2: a quote is opened/],
  ['x.csv', 'a'.repeat(2 ** 21), /a line of more than 1 MiB/],
  ['x.jsonl', '{"path": "a"}\nnot json\n', /x\.jsonl:2: expected a JSON object/],
  ['x.jsonl', '[1]\n', /x\.jsonl:1: expected a JSON object, found \[1\]/],
  ['x.jsonl', '{"path": 5}\n', /x\.jsonl:1: expected a path in column path/],
  ['x.jsonl', '{"path": "a", "label": {"b": 1}}\n', /x\.jsonl:1: expected a name or a whole number as label/],
  ['x.txt', 'a\n', /its ending tells no format/],
])('%s %#: is refused with its line', async (name, text, message) => {
  expect(await failing(name, text)).toMatchObject({ code: 'ERR_DATA', message: expect.stringMatching(message) })
})

test('bytes that are no text, labels that are no class, a list that is not there', async () => {
  const path = join(folder, 'bytes.csv')
  await writeFile(path, Uint8Array.from([112, 10, 0xff, 0xfe, 10]))
  await expect(ManifestDataset.open({ path })).rejects.toMatchObject({ message: expect.stringContaining('UTF-8') })
  expect(await failing('y.csv', 'path,label\na,z\n', { classes: ['x'] })).toMatchObject({
    message: expect.stringMatching(/y\.csv:2: the label "z"/),
  })
  await expect(ManifestDataset.open({ path: join(folder, 'gone.csv') })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/no such file/),
  })
})
