/** Tables as text: CSV by RFC 4180 and JSON lines, read in pieces so that a long file neither fills memory nor holds the event loop. */
import { createReadStream } from 'node:fs'
import { type SptError, dataCorrupt, dataMissing, reason } from '../errors.js'
import { isMissing } from './file.js'

/** A row and the line it begins on, from 1. */
export interface Row<T> {
  readonly line: number
  readonly value: T
}

/** A field or line longer than this is taken for a quote that never ends, or for no text at all. */
const longest = 2 ** 20

/** The rows of a CSV file as lists of fields; empty lines are left out. ERR_DATA with the line where a quote is not closed. */
export async function* readCsv(path: string, delimiter = ','): AsyncGenerator<Row<string[]>> {
  let open: { line: number; parts: string[]; length: number } | undefined
  for await (const { line, value } of readLines(path)) {
    const row = open ?? { line, parts: [], length: 0 }
    row.parts.push(value)
    row.length += value.length + 1
    // Within a quote only an odd number of quotes ends it: others are pairs that stand for one.
    const goesOn = open !== undefined && (value.split('"').length - 1) % 2 === 0
    const text = goesOn ? '' : row.parts.join('\n')
    const fields = goesOn ? undefined : splitFields(text, delimiter)
    if (fields === undefined && row.length > longest) throw neverClosed(path, row.line)
    open = fields === undefined ? row : undefined
    if (fields !== undefined && text !== '') yield { line: row.line, value: fields }
  }
  if (open !== undefined) throw neverClosed(path, open.line)
}

function neverClosed(path: string, line: number): SptError {
  return dataCorrupt(`${path}:${line}`, 'a quote is opened and never closed', 'Write a quote in a field twice.')
}

/** The objects of a file with one JSON object a line. ERR_DATA with the line that is none. */
export async function* readJsonLines(path: string): AsyncGenerator<Row<Record<string, unknown>>> {
  for await (const { line, value } of readLines(path)) {
    if (value.trim() === '') continue
    let parsed: unknown
    try {
      parsed = JSON.parse(value)
    } catch (cause) {
      throw dataCorrupt(`${path}:${line}`, `expected a JSON object, found what is no JSON (${reason(cause)})`)
    }
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw dataCorrupt(`${path}:${line}`, `expected a JSON object, found ${value.slice(0, 60)}`)
    yield { line, value: parsed as Record<string, unknown> }
  }
}

/** Lines without their ends (\n, \r\n) and without a byte order mark. */
async function* readLines(path: string): AsyncGenerator<Row<string>> {
  let [rest, line] = ['', 0]
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch {
      throw dataCorrupt(`${path}:${line + 1}`, 'expected UTF-8 text, found other bytes at or after this line')
    }
  }
  try {
    for await (const piece of createReadStream(path) as AsyncIterable<Uint8Array>) {
      const lines = (rest + decode(piece)).split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > longest) throw dataCorrupt(`${path}:${line + lines.length + 1}`, 'a line of more than 1 MiB')
      for (const text of lines) yield { line: ++line, value: text.endsWith('\r') ? text.slice(0, -1) : text }
    }
    rest += decode()
    if (rest !== '') yield { line: line + 1, value: rest }
  } catch (cause) {
    if (isMissing(cause)) throw dataMissing(path, 'file', 'Relative paths start at the folder of the configuration.')
    if (cause instanceof Error && 'syscall' in cause) throw dataCorrupt(path, `cannot be read (${reason(cause)})`)
    throw cause
  }
}

/** The fields of a row, undefined where a quote is still open at its end. */
function splitFields(text: string, delimiter: string): string[] | undefined {
  if (!text.includes('"')) return text.split(delimiter)
  const fields: string[] = []
  for (let at = 0; at <= text.length;) {
    if (text[at] !== '"') {
      const end = text.indexOf(delimiter, at)
      fields.push(text.slice(at, end < 0 ? text.length : end))
      if (end < 0) break
      at = end + delimiter.length
      continue
    }
    let field = ''
    for (at++; ; at++) {
      const quote = text.indexOf('"', at)
      if (quote < 0) return undefined
      field += text.slice(at, quote)
      at = quote + 1
      if (text[at] !== '"') break
      field += '"'
    }
    // What stands between a closing quote and the delimiter belongs to the field, as other readers have it.
    const end = text.indexOf(delimiter, at)
    fields.push(field + text.slice(at, end < 0 ? text.length : end))
    if (end < 0) break
    at = end + delimiter.length
  }
  return fields
}
