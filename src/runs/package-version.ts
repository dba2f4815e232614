/** The version of this package, as its package.json says it. */
import { readFileSync } from 'node:fs'

export function packageVersion(): string {
  // These files lie in src/ as TypeScript and in dist/src/ as JavaScript.
  const root = import.meta.url.endsWith('.ts') ? '../../' : '../../../'
  const manifest = new URL(`${root}package.json`, import.meta.url)
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
}
