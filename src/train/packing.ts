/**
 * Takes a nested state apart into named tensors and JSON, and puts it together again, exactly.
 * It neither reads nor writes files.
 */
import { SptError } from '../errors.js'
import { Tensor } from '../tensor/index.js'

/** What a component may keep in a checkpoint: JSON values, any number, bigint, and tensors, nested at will. */
export type State =
  | Tensor
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly State[]
  | { readonly [key: string]: State }

export type StateObject = { readonly [key: string]: State }

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json }

/**
 * Replaces every tensor by a reference to its name, which is its path joined by "/".
 * Numbers that JSON cannot hold (NaN, ±Infinity, -0) and bigints survive; `undefined` members are left out.
 */
export function pack(state: State, path: string): { json: Json; tensors: Map<string, Tensor> } {
  const tensors = new Map<string, Tensor>()
  const visit = (value: State, at: string): Json => {
    if (value instanceof Tensor) {
      tensors.set(at, value)
      return { $tensor: at }
    }
    if (typeof value === 'bigint') return { $bigint: value.toString() }
    if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0))) {
      return { $number: Object.is(value, -0) ? '-0' : String(value) }
    }
    if (Array.isArray(value)) return value.map((item: State, i) => visit(item, `${at}/${i}`))
    if (value !== null && typeof value === 'object') {
      const entries = Object.entries(value as StateObject).filter(([, member]) => member !== undefined)
      return Object.fromEntries(entries.map(([key, member]) => [key, visit(member, `${at}/${key}`)]))
    }
    if (value === undefined) return null
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null)
      return value
    throw new SptError('ERR_CHECKPOINT', `state at ${at} holds a ${typeof value}, which a checkpoint cannot keep`)
  }
  return { json: visit(state, path), tensors }
}

/** The inverse of {@link pack}; `lookUp` gives the tensor of a name. */
export function unpack(json: Json, lookUp: (name: string) => Tensor): State {
  if (Array.isArray(json)) return json.map((item) => unpack(item, lookUp))
  if (json === null || typeof json !== 'object') return json
  if (typeof json['$tensor'] === 'string') return lookUp(json['$tensor'])
  if (typeof json['$bigint'] === 'string') return BigInt(json['$bigint'])
  if (typeof json['$number'] === 'string') return Number(json['$number'])
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, unpack(value, lookUp)]))
}
