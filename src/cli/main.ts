#!/usr/bin/env node
/** The executable `spt`; what it does is in `program.ts`. */
import { main } from './program.js'

process.exitCode = await main(process.argv.slice(2))
