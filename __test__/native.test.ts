/** The instruction set that the environment asks for: that of a lesser machine, or an error with those there are. */
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'

function withInstructionSet(name: string) {
  const program = `import { cpuInfo } from './src/native.ts'; console.log(cpuInfo().instructionSet)`
  return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    cwd: resolve(import.meta.dirname, '..'),
    env: { ...process.env, SPT_INSTRUCTION_SET: name },
    encoding: 'utf8',
  })
}

test('SPT_INSTRUCTION_SET takes the kernels of a lesser machine', () => {
  expect(withInstructionSet('portable').stdout.trim()).toBe('portable')
  expect(withInstructionSet('mmx').stderr).toContain(
    '"mmx" is no instruction set; there are avx512, avx2, neon and portable',
  )
})
