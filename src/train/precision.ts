/** Which arithmetic a run gets of what it asked for. What mixed precision does is in `tensor/autocast`. */
import { cpuInfo } from '../tensor/index.js'
import type { Precision } from './trainer-options.js'

/** Whether products are in bfloat16 on this device; a line says so where they were asked for and are not. */
export function usesMixedPrecision(precision: Precision, device: string, print: (line: string) => void): boolean {
  if (precision !== 'bf16-mixed') return false
  if (device === 'cpu' && cpuInfo().bfloat16) return true
  const what = device === 'cpu' ? 'this processor' : device
  print(`precision bf16-mixed: ${what} has no products of bfloat16 (avx512_bf16), training in float32`)
  return false
}
