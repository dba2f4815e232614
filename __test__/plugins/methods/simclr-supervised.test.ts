import { describe, expect, test } from 'vitest'
import simclr from '../../../plugins/methods/simclr.js'
import supervised from '../../../plugins/methods/supervised.js'
import type { Network } from '../../../src/plugin/contracts.js'
import type { Batch } from '../../../src/data/index.js'
import { manualSeed, type Tensor } from '../../../src/tensor/index.js'
import { flowers, smallBackbone } from '../../train/setup.js'

interface Built {
  modules: Record<string, Network & { namedParameters(): Iterable<[string, Tensor]>; train(mode?: boolean): unknown }>
  forward(batch: Batch, stage: string): Promise<Record<string, Tensor>> | Record<string, Tensor>
}

async function build(definition: typeof simclr, options: object): Promise<Built> {
  manualSeed(0)
  const backbone = { module: smallBackbone(), dim: 8, name: 'small' }
  const context = { backbone, totalSteps: 10, seed: 0, numClasses: 3, config: definition.config.parse(options) }
  return (await definition.build(context as never)) as unknown as Built
}

const firstBatch = async (part: 'train' | 'val'): Promise<Batch> => {
  for await (const batch of (await flowers())[part] as AsyncIterable<Batch>) return batch
  throw new Error('no batch')
}

describe('simclr', () => {
  test('its projector is the paper’s, with the parameters of the PyTorch library', async () => {
    const { modules } = await build(simclr, {})
    const names = [...(modules['projector'] as Built['modules'][string]).namedParameters()].map(
      ([name, p]) => `${name} ${p.shape.join('x')}`,
    )
    expect(names).toEqual([
      '0.weight 2048x8',
      '1.weight 2048',
      '1.bias 2048',
      '3.weight 2048x2048',
      '4.weight 2048',
      '4.bias 2048',
      '6.weight 256x2048',
      '7.weight 256',
      '7.bias 256',
    ])
  })

  test('training gives the loss of both views; validation only embeddings', async () => {
    const method = await build(simclr, { projectorDims: [16, 8] })
    const train = await method.forward(await firstBatch('train'), 'fit')
    expect(train['embedding']?.shape).toEqual([8, 8])
    expect(train['label']?.shape).toEqual([8])
    // Unrelated vectors score the logarithm of the number of candidates, 2 * 4 - 1; views of one photo are related.
    const loss = await (train['loss'] as Tensor).item()
    expect(loss).toBeGreaterThan(0)
    expect(loss).toBeLessThan(Math.log(7))
    const validation = await method.forward(await firstBatch('val'), 'validate')
    expect(Object.keys(validation).toSorted()).toEqual(['embedding', 'label'])
    expect(validation['embedding']?.shape).toEqual([6, 8])
  })

  test('one view cannot be trained on, and the message says what to write', async () => {
    const method = await build(simclr, { projectorDims: [8] })
    const batch = await firstBatch('val')
    expect(() => method.forward(batch, 'fit')).toThrow(
      expect.objectContaining({ code: 'ERR_DATA', hint: expect.stringContaining('multi-view') as string }),
    )
  })
})

describe('supervised', () => {
  test('gives loss and accuracy wherever there are labels', async () => {
    const method = await build(supervised as never, {})
    for (const stage of ['fit', 'validate']) {
      const outputs = await method.forward(await firstBatch('val'), stage)
      expect(outputs['logits']?.shape).toEqual([6, 3])
      expect(await (outputs['loss'] as Tensor).item()).toBeGreaterThan(0)
      expect(await (outputs['top1'] as Tensor).item()).toBeGreaterThanOrEqual(0)
    }
  })

  test('asks for the number of classes where nobody knows it', () => {
    const context = {
      backbone: { module: smallBackbone(), dim: 8, name: 'small' },
      config: supervised.config.parse({}),
    }
    expect(() => supervised.build(context as never)).toThrow(expect.objectContaining({ code: 'ERR_CONFIG' }))
  })
})
