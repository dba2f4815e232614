/** What every optimizer plugin understands besides its own options: which parameters decay, and PyTorch's own switches. */
import { z } from 'zod'
import { splitByWeightDecay, type ParamGroupInput, type WeightDecayRules } from '../optim/index.js'

const rules = {
  excludeBiasNorm: z.boolean().default(false).describe('no weight decay for biases, norms and tensors of one axis'),
  noWeightDecayNdim: z.int().min(0).optional().describe('no weight decay for tensors of at most so many axes'),
  noWeightDecay: z
    .union([z.string(), z.array(z.string())])
    .optional()
    .describe('no weight decay where one of these regular expressions is found in the name of a parameter'),
}

/** How PyTorch runs an update; here it is one native call for all parameters, whatever these say. */
const execution = {
  foreach: z.boolean().optional().describe('accepted for PyTorch’s sake, without effect'),
  fused: z.boolean().optional().describe('accepted for PyTorch’s sake, without effect'),
  capturable: z.boolean().optional().describe('accepted for PyTorch’s sake, without effect'),
}

/** The schema with these options added; the plugin's own win where names meet. */
export function withOptimizerOptions<Schema extends z.ZodObject>(schema: Schema): Schema {
  const added = Object.entries({ ...rules, ...execution }).filter(([name]) => !(name in schema.shape))
  return schema.extend(Object.fromEntries(added)) as unknown as Schema
}

/** Takes these options out of a parsed config: the groups by its rules, and what is left for the plugin. */
export function applyOptimizerOptions(
  own: z.ZodObject,
  params: readonly ParamGroupInput[],
  config: Record<string, unknown>,
): { params: ParamGroupInput[]; config: Record<string, unknown> } {
  const shared = Object.keys({ ...rules, ...execution }).filter((name) => !(name in own.shape))
  const picked = Object.fromEntries(shared.map((name) => [name, config[name]])) as WeightDecayRules
  const rest = Object.fromEntries(Object.entries(config).filter(([name]) => !shared.includes(name)))
  return { params: splitByWeightDecay(params, picked), config: rest }
}
