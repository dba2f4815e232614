/**
 * Backbones beside PyTorch's, both ways: weights saved here load in torchvision and timm with `strict=True` and give the
 * same output in evaluation mode, and theirs here.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { manualSeed, nn, noGrad, randn, readSafetensors, type Tensor, writeSafetensors } from '../../src/index.js'
import { pythonWith, runPython } from './python.js'
import { disturb } from './weights.js'

interface Pair {
  build(): nn.Module
  /** The same network in Python. */
  python: string
  shape: number[]
}

const lowResolution = (model: string) => `
model = ${model}
model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
model.maxpool = torch.nn.Identity()
model.fc = torch.nn.Identity()`
const image = (size: number) => [2, 3, size, size]

const pairs: Record<string, Pair> = {
  resnet18: {
    build: () => nn.resnet18({ numClasses: 1000 }),
    python: 'model = torchvision.models.resnet18()',
    shape: image(32),
  },
  'resnet18, low resolution': {
    build: () => nn.resnet18({ lowResolution: true }),
    python: lowResolution('torchvision.models.resnet18()'),
    shape: image(32),
  },
  resnet50: {
    build: () => nn.resnet50({ numClasses: 1000 }),
    python: 'model = torchvision.models.resnet50()',
    shape: image(32),
  },
  'resnet50, low resolution': {
    build: () => nn.resnet50({ lowResolution: true }),
    python: lowResolution('torchvision.models.resnet50()'),
    shape: image(32),
  },
  'convnext_tiny of timm': {
    build: () => nn.convnextTiny({ numClasses: 10 }),
    python: "model = timm.create_model('convnext_tiny', num_classes=10)",
    shape: image(32),
  },
  'vit_tiny_patch16_224 of timm': {
    build: () => new nn.VisionTransformer({ embedDim: 192, numHeads: 3, numClasses: 10 }),
    python: "model = timm.create_model('vit_tiny_patch16_224', num_classes=10)",
    shape: image(224),
  },
  'vision transformer of timm with registers, QK norm and layer scale': {
    build: () =>
      new nn.VisionTransformer({
        imgSize: 32,
        patchSize: 8,
        embedDim: 48,
        depth: 3,
        numHeads: 3,
        regTokens: 4,
        qkNorm: true,
        initValues: 0.1,
      }),
    python: `model = timm.models.vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=3,
    num_heads=3, reg_tokens=4, qk_norm=True, init_values=0.1, num_classes=0)`,
    shape: image(32),
  },
  'mlp of torchvision': {
    build: () => nn.mlp([12, 32, 8], { norm: 'batch_norm', dropout: 0.1 }),
    python: 'model = torchvision.ops.MLP(12, [32, 8], norm_layer=torch.nn.BatchNorm1d, dropout=0.1)',
    shape: [2, 12],
  },
}

const torch = pythonWith('torch', 'torchvision', 'timm', 'safetensors')
describe.skipIf(torch.absent)(`PyTorch${torch.note}`, () => {
  let folder: string
  const path = (name: string, file: string) => join(folder, `${Object.keys(pairs).indexOf(name)}-${file}.safetensors`)
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'spt-torch-'))
    manualSeed(0)
    for (const [name, { build, shape }] of Object.entries(pairs)) {
      const module = disturb(build()).eval()
      const input = randn(shape)
      await writeSafetensors(path(name, 'ours'), module.stateDict(), { metadata: { format: 'pt' } })
      await writeSafetensors(path(name, 'run'), { input, output: noGrad(() => module.forward(input)) })
    }
    // Loads ours strictly and says what it gives; then draws weights of its own and saves those with what they give.
    runPython(
      `
import torch, torchvision, timm
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
torch.manual_seed(0)
for index, code in enumerate(argument['pairs']):
    scope = {'torch': torch, 'torchvision': torchvision, 'timm': timm}
    exec(code, scope)
    model = scope['model'].eval()
    at = f"{argument['folder']}/{index}-"
    run = load_file(at + 'run.safetensors')
    model.load_state_dict(load_file(at + 'ours.safetensors'), strict=True)
    with torch.no_grad():
        given = {'output': model(run['input']).contiguous()}
        for value in model.state_dict().values():
            if value.dtype == torch.float32:
                value.mul_(torch.rand_like(value) * 0.5 + 0.75)
        theirs = {'output': model(run['input']).contiguous()}
    save_file(given, at + 'given.safetensors')
    save_file(theirs, at + 'theirs-output.safetensors')
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, at + 'theirs.safetensors')
print('null')`,
      { folder, pairs: Object.values(pairs).map(({ python }) => python) },
    )
  }, 600_000)
  afterAll(() => rm(folder, { recursive: true }))

  test.each(Object.keys(pairs))('%s: our weights load there strictly and give the same', async (name) => {
    const [ours, given] = [await outputOf(path(name, 'run')), await outputOf(path(name, 'given'))]
    expect(await distance(ours, given)).toBeLessThan(1e-4)
  })

  test.each(Object.keys(pairs))('%s: their weights load here strictly and give the same', async (name) => {
    const module = pairs[name]!.build().eval()
    module.loadStateDict((await readSafetensors(path(name, 'theirs'))).tensors)
    const { tensors } = await readSafetensors(path(name, 'run'))
    const output = noGrad(() => module.forward(tensors.get('input')!))
    const theirs = await outputOf(path(name, 'theirs-output'))
    expect(await distance(output, theirs)).toBeLessThan(1e-4)
    // The weights did change what comes out, or nothing was compared.
    expect(await distance(await outputOf(path(name, 'run')), theirs)).toBeGreaterThan(1e-3)
  })
})

async function outputOf(path: string): Promise<Tensor> {
  return (await readSafetensors(path)).tensors.get('output')!
}

/** The largest difference, in units of the largest number if that is above 1. */
async function distance(a: Tensor, b: Tensor): Promise<number> {
  expect(a.shape).toEqual(b.shape)
  const scale = Math.max(1, await b.abs().max().item())
  return (await a.sub(b).abs().max().item()) / scale
}
