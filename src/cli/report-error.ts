/** How an error looks at the terminal: its code in brackets, the message, the hint on the next line; no stack unless asked for. */
import { SptError, errorCode, reason } from '../errors.js'

/** Prints to standard error and returns the exit status. */
export function reportError(error: unknown, { stack = false }: { stack?: boolean } = {}): number {
  const code = errorCode(error)
  const hint = error instanceof SptError ? error.hint : undefined
  console.error(`${code === undefined ? 'error' : `error [${code}]`} ${reason(error)}`)
  if (hint !== undefined) console.error(`hint: ${hint}`)
  if (stack && error instanceof Error) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) console.error(at.stack)
  } else if (code === undefined || code === 'ERR_INTERNAL') {
    console.error('hint: add --debug to see where it happened.')
  }
  return 1
}
