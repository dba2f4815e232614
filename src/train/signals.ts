/** Turns Ctrl-C and SIGTERM into a request to stop after the current step. It saves nothing itself. */

export type StopSignal = 'SIGINT' | 'SIGTERM'

/** Exit statuses a shell expects after a signal: 128 + its number. */
export const exitStatus: Record<StopSignal, number> = { SIGINT: 130, SIGTERM: 143 }

/**
 * Calls `request` on the first signal; a second one ends the process at once.
 * Returns the function that gives the signals back to their former owner.
 */
export function watchSignals(request: (signal: StopSignal) => void): () => void {
  let asked = false
  const receive = (signal: NodeJS.Signals): void => {
    if (asked) process.exit(exitStatus[signal as StopSignal])
    asked = true
    request(signal as StopSignal)
  }
  process.on('SIGINT', receive)
  process.on('SIGTERM', receive)
  return () => {
    process.off('SIGINT', receive)
    process.off('SIGTERM', receive)
  }
}
