/** Reads the cases of a directory of reference vectors: its index, and one safetensors file a case. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib'
import { parseSafetensors, type Tensor } from '../../src/tensor/index.js'

export interface CaseEntry {
  group: string
  name: string
  op: string
  file: string
}

/** One case; what the keys mean is in the format's own description. */
export interface Case extends CaseEntry {
  attrs: Record<string, unknown>
  inputs: string[]
  outputs: string[]
  grads: string[]
  rtol: number
  atol: number
  atols: Record<string, number>
  rtols: Record<string, number>
  tensors: Map<string, Tensor>
}

export function readCases(
  directory: string,
  { groups, only }: { groups?: string[] | undefined; only?: string | undefined } = {},
): CaseEntry[] {
  const path = join(directory, 'index.json')
  if (!existsSync(path)) throw new Error(`${path}: no such file; a directory of cases has an index.json`)
  const index = JSON.parse(readFileSync(path, 'utf8')) as { cases: CaseEntry[] }
  return index.cases.filter(
    ({ group, name }) => (!groups || groups.includes(group)) && (!only || only === name || only === `${group}/${name}`),
  )
}

export function readCase(directory: string, entry: CaseEntry): Case {
  return parseCase(entry, readFileSync(join(directory, entry.file)))
}

export function parseCase(entry: CaseEntry, bytes: Uint8Array): Case {
  const { tensors, metadata } = parseSafetensors(bytes, entry.file)
  const header = JSON.parse(metadata.case ?? '{}') as Partial<Case>
  return {
    ...entry,
    attrs: header.attrs ?? {},
    inputs: header.inputs ?? [],
    outputs: header.outputs ?? [],
    grads: header.grads ?? [],
    rtol: header.rtol ?? 0,
    atol: header.atol ?? 0,
    atols: header.atols ?? {},
    rtols: header.rtols ?? {},
    tensors,
  }
}

/** Cases of one group in one file, brotli over: a line of JSON with names and lengths, then the safetensors files. */
export function writePack(path: string, directory: string, entries: CaseEntry[]): void {
  const files = entries.map((entry) => readFileSync(join(directory, entry.file)))
  const index = entries.map(({ group, name, op, file }, at) => ({ group, name, op, file, bytes: files[at]?.length }))
  const plain = Buffer.concat([Buffer.from(`${JSON.stringify(index)}\n`), ...files])
  const params = { [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length }
  writeFileSync(path, brotliCompressSync(plain, { params }))
}

export function readPack(path: string): Case[] {
  const plain = brotliDecompressSync(readFileSync(path))
  const end = plain.indexOf('\n')
  const index = JSON.parse(plain.toString('utf8', 0, end)) as Array<CaseEntry & { bytes: number }>
  let position = end + 1
  return index.map((entry) => {
    position += entry.bytes
    return parseCase(entry, plain.subarray(position - entry.bytes, position))
  })
}
