/** How the TypeScript tests run: the package's own name means its sources here, not `dist`. */
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^stable-pretraining\/testing$/, replacement: source('./src/testing/index.ts') },
      { find: /^stable-pretraining\/plugins$/, replacement: source('./plugins/index.ts') },
      { find: /^stable-pretraining$/, replacement: source('./src/index.ts') },
    ],
  },
  test: {
    include: ['__test__/**/*.test.ts'],
    environment: 'node',
    // Nothing in the user's cache; the test of it names a folder of its own.
    env: { SPT_GPU_CACHE: '' },
    // A test file is a process of its own: the native core must survive being loaded and left many times.
    pool: 'forks',
    // Generous: on a busy machine a test takes ten times as long, and a hang is a hang after two minutes too.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
