/** Reads the cases of a directory of reference vectors: its index, and one safetensors file a case. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
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
