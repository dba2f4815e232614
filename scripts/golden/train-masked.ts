/** The training runs of methods with several crops, masks and moving averages. */
import type { Batch } from '../../src/data/index.js'
import { VisionTransformer, type VisionTransformerOptions } from '../../src/nn/index.js'
import type { Backbone } from '../../src/plugin/contracts.js'
import { type Call, camelOptions, type Table } from './table.js'
import { trajectory } from './trajectory.js'

/** `view1`, `view2` …, then `local1`, `local2` … of a step; which are local shows in their size. */
function crops({ named }: Call, step: number): Batch {
  const names = ['view', 'local'].flatMap((kind) => Object.keys(named).filter((name) => name.startsWith(kind)))
  return { views: names.map((name) => ({ image: named[name]?.select(0, step) })) } as unknown as Batch
}

/** The images of a step with the places that are seen, and those that are predicted, under their names in camelCase. */
function masked({ named }: Call, step: number): Batch {
  const { x, ...rest } = named
  const places = Object.entries(rest).filter(([name]) => !name.startsWith('param.'))
  const ofStep = places.map(([name, value]) => [name, value.select(0, step)])
  return { image: x?.select(0, step), ...camelOptions(Object.fromEntries(ofStep)) } as unknown as Batch
}

function transformer({ vit }: Record<string, unknown>): Backbone {
  const module = new VisionTransformer(camelOptions(vit) as VisionTransformerOptions)
  return { module, dim: module.dim }
}

const kwargs = (attrs: Record<string, unknown>): Record<string, unknown> => attrs['kwargs'] as Record<string, unknown>

/** Prototypes are trained from the first step on there, and the teacher's temperature stays where its warm-up begins. */
function dinoOptions(attrs: Record<string, unknown>): Record<string, unknown> {
  const given = kwargs(attrs)
  return { ...given, temperature_teacher: given['temperature_teacher_warmup'], freeze_last_layer: 0 }
}

export const trainMasked: Table = {
  dino: trajectory({ method: 'dino', batch: crops, config: dinoOptions }),
  // Without a queue, without frozen prototypes; local crops have codes too.
  swav: trajectory({
    method: 'swav',
    batch: crops,
    config: (attrs) => ({ ...kwargs(attrs), queue_length: 0, freeze_prototypes: 0, local_codes: true }),
  }),
  mae: trajectory({ method: 'mae', backbone: transformer, batch: masked }),
  ijepa: trajectory({ method: 'ijepa', backbone: transformer, batch: masked }),
}
