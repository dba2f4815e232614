/** The generator that random functions draw from when none is given. The numbers themselves come from the native core. */
import { Generator } from '../native.js'

export { Generator }

/** Where random functions draw from by default; its state belongs into checkpoints. */
export const defaultGenerator = new Generator(0)

/**
 * A generator for one batch of training: its numbers are a function of the seed and of the batch's number in the run, so
 * that a run that is gone on with draws what it would have drawn, and that nothing else moves them.
 */
export const generatorOfBatch = (seed: number, batch: number): Generator => new Generator(seed, 2 ** 40 + batch)

/** Restarts the default generator. @param seed a whole number from 0 to 2^53. */
export function manualSeed(seed: number): Generator {
  defaultGenerator.setState(new Generator(seed).getState())
  return defaultGenerator
}
