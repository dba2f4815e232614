/** Which arithmetic a run gets of what it asked for. What mixed precision does is in `tensor/autocast`. */
import { unsupported } from '../errors.js'
import { cpuInfo } from '../tensor/index.js'
import type { Precision } from './trainer-options.js'

/** The type in which products are computed; null: float32. */
export type MixedDtype = 'bfloat16' | 'float16' | null

/**
 * What `precision` means on a device; a line says so where bfloat16 was asked for and is not there.
 *
 * @throws ERR_UNSUPPORTED for `16-mixed` on a CPU.
 */
export function mixedDtype(precision: Precision, device: string, print: (line: string) => void): MixedDtype {
  if (precision === '32-true') return null
  if (precision === '16-mixed') {
    if (device !== 'cpu') return 'float16'
    throw unsupported(
      'Trainer: precision "16-mixed"',
      'CPUs do not multiply float16',
      'Use "bf16-mixed" on CPUs, or device: gpu.',
    )
  }
  if (device === 'cpu' && cpuInfo().bfloat16) return 'bfloat16'
  const what = device === 'cpu' ? 'this processor' : device
  const instead = device === 'cpu' ? '' : '; 16-mixed is for GPUs'
  print(`precision bf16-mixed: ${what} has no products of bfloat16 (avx512_bf16), training in float32${instead}`)
  return null
}
