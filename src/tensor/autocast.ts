/** Mixed precision: a switch around a piece of code, as `torch.autocast('cpu', dtype=torch.bfloat16)`. */
import { getAutocast, setAutocast } from '../native.js'
import { settle } from './scope.js'

/**
 * Runs `run` with linear layers, convolutions and attention taking float32 operands rounded to 16 bits, summing in float32
 * and giving 16 bits. Everything else computes in float32, losses, norms, softmax and reductions among it; so does `matmul`
 * of two float32 matrices (PyTorch rounds them), while beside a 16-bit one float32 is rounded. Parameters and their
 * gradients stay float32. `null` switches it off inside. Takes sync and async functions, which must not overlap in time. The
 * backward pass belongs outside: each operation remembers how it ran.
 *
 * CPUs have bfloat16 and GPUs float16; tensors elsewhere stay float32. Fast on CPUs where `cpuInfo().bfloat16` says so; on
 * others the same rounding at the speed of float32. float16 wants its loss scaled: see `GradScaler`.
 */
export function autocast<T>(dtype: 'bfloat16' | 'float16' | null, run: () => T): T {
  const before = setAutocast(dtype)
  return settle(run, () => setAutocast(before as 'bfloat16' | 'float16' | null))
}

/** Whether products are computed in 16 bits now. */
export function isAutocastEnabled(): boolean {
  return getAutocast() !== null
}
