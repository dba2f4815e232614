/** A network as it is in evaluation, in the midst of its training. */
import { noGrad } from '../tensor/index.js'
import type { Module } from './module.js'

/** Runs `work`, which is synchronous, in evaluation mode and without gradients; the modes come back whatever happens. */
export function inEvaluation<T>(network: Module<unknown>, work: () => T): T {
  const modes = network.modules().map((module) => [module, module.training] as const)
  network.eval()
  try {
    return noGrad(work)
  } finally {
    for (const [module, training] of modes) module.training = training
  }
}
