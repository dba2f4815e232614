/** Start weights that timm wrote: loaded from a path and from a cache in the layout of the Hugging Face hub, or refused. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import * as nn from '../../src/nn/index.js'
import { locateWeights } from '../../src/nn/hub.js'
import { manualSeed, noGrad, readSafetensors, type Tensor, writeSafetensors } from '../../src/tensor/index.js'
import { TeacherStudentWrapper } from '../../src/train/index.js'
import { expectClose } from './close.js'

const fixtures = join(import.meta.dirname, '../fixtures/nn')
const weights = join(fixtures, 'convnext.safetensors')

let outputs: Map<string, Tensor>
let folder: string
let environment: Record<string, string>
beforeAll(async () => {
  outputs = (await readSafetensors(join(fixtures, 'convnext-outputs.safetensors'))).tensors
  folder = await mkdtemp(join(tmpdir(), 'spt-weights-'))
  environment = { HF_HOME: join(folder, 'hf') }
  const repository = join(folder, 'hf/hub/models--timm--convnext_small.test')
  for (const [revision, commit] of [
    ['main', 'c0ffee'],
    ['old', 'decade'],
  ] as const) {
    await mkdir(join(repository, 'snapshots', commit), { recursive: true })
    await mkdir(join(repository, 'refs'), { recursive: true })
    await writeFile(join(repository, 'refs', revision), commit)
  }
  await cp(weights, join(repository, 'snapshots/c0ffee/model.safetensors'))
  await writeFile(join(repository, 'snapshots/decade/pytorch_model.bin'), '')
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(() => void manualSeed(0))

const small = (options: nn.ConvNeXtOptions = {}) => new nn.ConvNeXt([1, 1, 2, 1], [8, 12, 16, 20], options)

async function expectOutput(model: nn.Module, name: string): Promise<void> {
  await expectClose(
    noGrad(() => model.eval().forward(outputs.get('x') as Tensor)),
    outputs.get(name),
    5e-6,
  )
}

const refusal = (message: RegExp, hint: RegExp) =>
  expect.objectContaining({
    code: 'ERR_CHECKPOINT',
    message: expect.stringMatching(message) as string,
    hint: expect.stringMatching(hint) as string,
  }) as Error

describe('weights of timm', () => {
  test('make the same features; the classifier is left out and told', async () => {
    const [model, lines] = [small(), [] as string[]]
    await nn.loadPretrained(model, weights, { log: (line) => void lines.push(line) })
    await expectOutput(model, 'features')
    expect(lines).toEqual([
      `pretrained: ${model.stateDict().size} tensors from ${weights}; left out head.fc.bias, head.fc.weight (this backbone has no classifier)`,
    ])
  })

  test('make the same logits with a classifier', async () => {
    const [model, lines] = [small({ numClasses: 10 }), [] as string[]]
    await nn.loadPretrained(model, 'convnext.safetensors', { root: fixtures, log: (line) => void lines.push(line) })
    await expectOutput(model, 'logits')
    expect(lines).toEqual([`pretrained: ${model.stateDict().size} tensors from ${weights}`])
  })

  test.each([
    'timm/convnext_small.test',
    'hf-hub:timm/convnext_small.test',
    'timm/convnext_small.test@main',
    'timm/convnext_small.test@c0ffee',
  ])('are found in the cache as %s', async (name) => {
    const model = small()
    await nn.loadPretrained(model, name, { environment })
    await expectOutput(model, 'features')
  })

  test('are found inside a larger module, such as a run’s checkpoint', async () => {
    const { tensors } = await readSafetensors(weights)
    const inner = new Map([...tensors].map(([key, value]) => [`backbone.${key}`, value]))
    const path = join(folder, 'last.ckpt')
    await writeSafetensors(
      path,
      new Map([...inner, ['projector.0.weight', outputs.get('x') as Tensor], ['optim/0', outputs.get('x') as Tensor]]),
    )
    const model = small()
    await nn.loadPretrained(model, path)
    await expectOutput(model, 'features')
  })

  test('of student and teacher are the teacher’s', async () => {
    const pair = new TeacherStudentWrapper(new nn.Linear(2, 1))
    const module = new nn.ModuleDict<nn.Module<unknown>>({ backbone: pair })
    noGrad(() => [...pair.teacher.parameters()].forEach((parameter) => void parameter.fill_(7)))
    const file = join(folder, 'pair.safetensors')
    await writeSafetensors(file, module.stateDict())
    const single = new nn.Linear(2, 1)
    await nn.loadPretrained(single, file)
    expect(Array.from(await single.weight.data(), Number)).toEqual([7, 7])
  })

  test('may lie in parts beside an index', async () => {
    const { tensors } = await readSafetensors(weights)
    const home = join(folder, 'parts')
    await mkdir(home)
    const parts = [new Map([...tensors].slice(0, 20)), new Map([...tensors].slice(20))]
    const map: Record<string, string> = {}
    for (const [index, part] of parts.entries()) {
      await writeSafetensors(join(home, `part-${index}.safetensors`), part)
      for (const key of part.keys()) map[key] = `part-${index}.safetensors`
    }
    await writeFile(join(home, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }))
    const model = small()
    await nn.loadPretrained(model, './parts', { root: folder })
    await expectOutput(model, 'features')
  })
})

describe('the cache is where huggingface_hub has it', () => {
  const looked = (variables: Record<string, string>) => {
    try {
      locateWeights('org/name', { environment: variables })
    } catch (error) {
      return /Looked for (\S+\.safetensors)/.exec((error as { hint: string }).hint)?.[1]
    }
    return undefined
  }
  const inside = 'models--org--name/snapshots/main/model.safetensors'
  test.each([
    [{ HF_HUB_CACHE: '/a' }, `/a/${inside}`],
    [{ HF_HUB_CACHE: '/a', HF_HOME: '/b' }, `/a/${inside}`],
    [{ HF_HOME: '/b' }, `/b/hub/${inside}`],
    [{ XDG_CACHE_HOME: '/c' }, `/c/huggingface/hub/${inside}`],
    [{}, expect.stringMatching(/[^~]\/\.cache\/huggingface\/hub\/models--org--name/)],
  ])('%o', (variables, path) => {
    expect(looked(variables as Record<string, string>)).toEqual(path)
  })
})

describe('refused', () => {
  const load = (model: nn.Module, source: string) => nn.loadPretrained(model, source, { root: folder, environment })

  test('a name that is not in the cache, with the command that fetches it', async () => {
    await expect(load(small(), 'timm/resnet18.a1_in1k')).rejects.toThrow(
      refusal(
        /^timm\/resnet18\.a1_in1k: no checkpoint found/,
        /Looked for .*models--timm--resnet18\.a1_in1k.*hf download timm\/resnet18\.a1_in1k model\.safetensors/,
      ),
    )
    await expect(load(small(), 'timm/convnext_small.test@new')).rejects.toThrow(
      refusal(/^timm\/convnext_small\.test@new/, /there are the revisions c0ffee, decade.*--revision new/),
    )
  })

  test('a path without a file, and a repository without safetensors', async () => {
    await expect(load(small(), './no.safetensors')).rejects.toThrow(
      refusal(/no\.safetensors: no checkpoint found/, /path of a safetensors file/),
    )
    await expect(load(small(), 'timm/convnext_small.test@old')).rejects.toThrow(
      refusal(/model\.safetensors: no checkpoint found/, /there is pytorch_model\.bin\. .*torch\.load/),
    )
  })

  test('other keys and other shapes, all of them listed, and nothing changes', async () => {
    const model = new nn.ConvNeXt([1, 2, 1, 1], [8, 12, 16, 20], { numClasses: 4 })
    const before = await model.stem.stateDict().get('0.weight')?.data()
    const error = await load(model, weights).catch((cause: unknown) => cause as Error)
    expect(error).toEqual(
      refusal(
        /do not fit ConvNeXt\n {2}missing in the file \(9\): .*\n {2}unexpected in the file \(9\): .*\n {2}of another shape \(2\): /,
        /with the options/,
      ),
    )
    expect((error as Error).message).toMatch(
      /stages\.1\.blocks\.1\.conv_dw\.weight.*\n.*stages\.2\.blocks\.1\.conv_dw\.weight/,
    )
    expect((error as Error).message).toContain('head.fc.weight is [10, 20] in the file, [4, 20] in the backbone')
    expect(await model.stem.stateDict().get('0.weight')?.data()).toEqual(before)
  })

  test('images of other channels', async () => {
    await expect(load(small({ inChannels: 1 }), weights)).rejects.toThrow(
      refusal(
        /stem\.0\.weight is \[8, 3, 4, 4\] in the file, \[8, 1, 4, 4\] in the backbone/,
        /for images of 3 channels, this backbone takes 1: set in_channels: 3/,
      ),
    )
  })

  test('a long list is cut', async () => {
    await expect(load(nn.resnet18(), weights)).rejects.toThrow(
      /missing in the file \(100\): .*conv1\.weight.* and 88 more\n/,
    )
  })
})
