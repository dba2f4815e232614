/** What a case of the reference vectors asks of a network: formula weights, outputs, stages, gradients, buffers. */
import type { Module } from '../../src/nn/index.js'
import { noGrad, tensor, type Tensor } from '../../src/tensor/index.js'
import type { Call } from './table.js'

/** Everything the cases ask of a network: its output, its stages, and in training its gradients and buffers. */
export async function measure(
  model: Module<unknown>,
  { attrs, named, inputs, outputNames, cotangents }: Call,
  run: (x: Tensor) => Tensor = (x) => model.forward(x) as Tensor,
): Promise<object> {
  fill(model, attrs)
  const x = named.x ?? (inputs[0] as Tensor)
  model.to(x.dtype)
  model.train(attrs.mode === 'train')
  x.requiresGrad = attrs.mode === 'train'
  const stages = (attrs.stages ?? []) as string[]
  const seen = new Map<string, Tensor>()
  for (const name of stages) {
    model.getSubmodule(name).registerForwardHook((_, output) => void seen.set(name, output as Tensor))
  }
  const out = run(x)
  const results: Record<string, unknown> = { out }
  const ordered = stages.map((name) => (seen.get(name) as Tensor).detach())
  results.stage_mean = await numbers(ordered.map((value) => value.mean()))
  results.stage_norm = await norms(ordered)
  if (attrs.mode !== 'train') return results

  out.backward((cotangents.get('out') as Tensor).to(x.dtype))
  const parameters = new Map(model.namedParameters())
  for (const [name, parameter] of parameters) results[`grad.${name}`] = parameter.grad
  results['grad.x'] = x.grad
  results.out_norm = (await norms([out]))[0]
  const order = attrs.parameters as string[]
  results.grad_norm = await norms(order.map((name) => (parameters.get(name) as Tensor).grad as Tensor))
  results.grad_x_norm = (await norms([x.grad as Tensor]))[0]
  const buffers = new Map(model.namedBuffers())
  const kept = (attrs.buffers ?? []) as string[]
  results.buffer_norm = await norms(kept.map((name) => buffers.get(name) as Tensor))
  return Object.fromEntries(
    Object.entries(results).filter(([name]) => name.startsWith('grad') || outputNames.includes(name)),
  )
}

async function norms(tensors: Tensor[]): Promise<Float64Array> {
  return numbers(tensors.map((value) => value.detach().to('cpu').to('float64').square().sum().sqrt()))
}

async function numbers(scalars: Tensor[]): Promise<Float64Array> {
  return Float64Array.from(await Promise.all(scalars.map((scalar) => scalar.item())))
}

/** Fills every entry of the state dict by the rule of the format's description. ERR where names or shapes differ. */
export function fill(model: Module<unknown>, attrs: Record<string, unknown>): void {
  const own = model.stateDict()
  const wanted = attrs.state as Record<string, number[]>
  const missing = Object.keys(wanted).filter((key) => !own.has(key))
  const extra = [...own.keys()].filter((key) => !(key in wanted))
  if (missing.length + extra.length > 0)
    throw new Error(`state dict: missing ${missing.join()}, unexpected ${extra.join()}`)
  if (Object.keys(wanted).join() !== [...own.keys()].join()) throw new Error('state dict: another order of keys')
  const skipped = (attrs.skipped ?? []) as string[]
  const rule = attrs.weights === 'hashed' ? hashed : formula
  noGrad(() => {
    for (const [key, shape] of Object.entries(wanted)) {
      if (skipped.includes(key)) continue
      const target = own.get(key) as Tensor
      if (target.shape.join() !== shape.join())
        throw new Error(`${key} is [${target.shape.join()}], not [${shape.join()}]`)
      target.copy_(tensor(entry(key, shape, rule), { shape }))
    }
  })
}

type Rule = (key: string, count: number, scale: number) => Float32Array

function entry(key: string, shape: number[], rule: Rule): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1)
  const f = (scale: number) => rule(key, count, scale)
  const last = key.split('.').at(-1) ?? ''
  const small = () => f(1).map((value) => Math.fround(0.1) * value)
  if (last === 'num_batches_tracked') return new Float32Array(count)
  if (last === 'running_mean') return small()
  if (last === 'running_var') return f(1).map((value) => 1 + Math.fround(0.5 * Math.abs(value)))
  if (/token|pos_embed|queries/.test(last)) return small()
  if (shape.length <= 1) return last.includes('bias') ? small() : small().map((value) => 1 + value)
  const fan = shape.slice(1).reduce((product, size) => product * size, 1)
  return f(1 / Math.sqrt(fan))
}

function formula(key: string, count: number, scale: number): Float32Array {
  const share = (hash(key) % 97) / 97
  const values = new Float32Array(count)
  for (let i = 0; i < count; i += 1) values[i] = scale * Math.sin(1.0 + 0.7 * (i + 1) * (1 + share))
  return values
}

function hashed(key: string, count: number, scale: number): Float32Array {
  const start = hash(key)
  const values = new Float32Array(count)
  for (let i = 0; i < count; i += 1) {
    let x = (start + Math.imul(i, 0x9e3779b9)) >>> 0
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    x = (x ^ (x >>> 16)) >>> 0
    values[i] = scale * Math.sqrt(3) * (2 * (x / 2 ** 32) - 1)
  }
  return values
}

/** 32-bit FNV-1a of the UTF-8 bytes. */
function hash(text: string): number {
  return new TextEncoder().encode(text).reduce((h, byte) => Math.imul(h ^ byte, 0x01000193) >>> 0, 0x811c9dc5)
}
