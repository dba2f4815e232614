/** Convolutional networks and perceptrons of the reference vectors: built from a case's attributes. */
import {
  ConvMixer,
  type ConvMixerOptions,
  convnextSmall,
  convnextTiny,
  type ConvNeXtOptions,
  mlp,
  type Module,
  resnet101,
  resnet152,
  resnet18,
  resnet34,
  resnet50,
  ResNet9,
  type ResNet9Options,
  type ResNetOptions,
} from '../../src/nn/index.js'
import { measure } from './measure.js'
import { camelOptions, type Handler, Missing, type Table } from './table.js'

/** Of torchvision (attributes beside the case's own) or of timm (`kwargs`); both name the layers alike. */
const resnet =
  (build: (options: ResNetOptions) => Module): Handler =>
  async (call) => {
    const { attrs } = call
    if ('kwargs' in attrs) return measure(build(timmOptions(attrs.kwargs, ['numClasses', 'inChannels'])), call)
    const { num_classes: numClasses = null, in_channels: inChannels = 3 } = attrs as Record<string, number | null>
    const options = { lowResolution: attrs.low_resolution === true, numClasses, inChannels: inChannels ?? 3 }
    return measure(build(options), call)
  }

const convnext =
  (build: (options: ConvNeXtOptions) => Module): Handler =>
  async (call) =>
    measure(build(timmOptions(call.attrs.kwargs, ['numClasses', 'inChannels', 'dropPathRate'])), call)

export const convolutional: Table = {
  resnet18: resnet(resnet18),
  resnet34: resnet(resnet34),
  resnet50: resnet(resnet50),
  resnet101: resnet(resnet101),
  resnet152: resnet(resnet152),
  convnext_tiny: convnext(convnextTiny),
  convnext_small: convnext(convnextSmall),
  ConvMixer: async (call) => measure(new ConvMixer(camelOptions(call.attrs) as ConvMixerOptions), call),
  Resnet9: async (call) => {
    const { num_channels: inChannels, num_classes: numClasses, bn_momentum: bnMomentum } = call.attrs
    return measure(new ResNet9({ inChannels, numClasses, bnMomentum } as ResNet9Options), call)
  },
  MLP: async (call) => {
    const { in_channels: input, hidden_channels: hidden, norm_layer: norm = null, bias = true } = call.attrs
    const dims = [input as number, ...(hidden as number[])]
    return measure(mlp(dims, { norm: norm as 'batch_norm' | null, bias: bias as boolean }), call)
  },
}

/** Arguments of timm.create_model under our names; a case with others than `known` is skipped. */
function timmOptions(given: unknown, known: readonly string[]): Record<string, unknown> {
  const { inChans, ...rest } = camelOptions(given)
  const options = inChans === undefined ? rest : { ...rest, inChannels: inChans }
  const other = Object.keys(options).filter((name) => !known.includes(name))
  if (other.length > 0) throw new Missing(`no option ${other.join()} of this network`)
  return options
}
