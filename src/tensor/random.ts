/** The generator that random functions draw from when none is given. The numbers themselves come from the native core. */
import { Generator } from '../native.js'

export { Generator }

/** Where random functions draw from by default; its state belongs into checkpoints. */
export const defaultGenerator = new Generator(0)

/** Restarts the default generator. @param seed a whole number from 0 to 2^53. */
export function manualSeed(seed: number): Generator {
  defaultGenerator.setState(new Generator(seed).getState())
  return defaultGenerator
}
