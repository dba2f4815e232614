#!/usr/bin/env node
/** The executable `spt`; what it does is in `program.ts`. */
import { main } from './program.js'
import { reportError } from './report-error.js'

// An error that nothing waits for, such as one of a timer, looks like any other and ends the command.
process.on('uncaughtException', (error) => {
  process.exit(reportError(error, { stack: process.argv.includes('--debug') }))
})
// `spt plugins | head` closes the pipe early; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await main(process.argv.slice(2))
