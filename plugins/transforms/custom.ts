/** A transform of your own: an exported function of a TypeScript or JavaScript module, run in worker threads. */
import { resolve } from 'node:path'
import { WorkerTransform, defineTransform, z } from 'stable-pretraining'

export default defineTransform({
  name: 'custom',
  aliases: ['Lambda'],
  description: 'A function of your own, in worker threads.',
  config: z.object({
    module: z.string().min(1).describe('path of the module, from the folder the command is run in'),
    export: z.string().min(1).default('default').describe('name of the function it exports'),
    options: z.record(z.string(), z.unknown()).default({}).describe('handed to the function'),
    source: z.string().min(1).default('image').describe('path of the value it is given'),
    target: z.string().min(1).optional().describe('where the result goes; default: the source'),
  }),
  build({ config: { module, source, target = source, ...config } }) {
    return new WorkerTransform(resolve(module), { ...config, source, target })
  },
})
