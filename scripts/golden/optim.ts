/** The optimizers of the reference vectors: 25 steps of stored gradients, parameters kept after some of them. */
import { createOptimizer, optimizerClasses } from '../../src/optim/index.js'
import { noGrad, type Tensor } from '../../src/tensor/index.js'
import { camelOptions, type Call, Missing, type Table } from './table.js'

function steps({ attrs, named }: Call): Record<string, Tensor> {
  const type = String(attrs.optimizer)
  if (!(type in optimizerClasses)) throw new Missing(`there is no optimizer ${type} yet`)
  const names = attrs.parameters as string[]
  const parameters = names.map((name): [string, Tensor] => {
    const parameter = (named[name] as Tensor).clone()
    parameter.requiresGrad = true
    return [name, parameter]
  })
  const optimizer = createOptimizer(parameters, {
    type,
    ...camelOptions(attrs.kwargs),
    excludeBiasNorm: attrs.exclude_bias_norm === true,
  })
  const rates = attrs.lr_per_step as number[] | undefined
  const kept = attrs.kept as number[]
  const results: Record<string, Tensor> = {}
  for (let step = 1; step <= Number(attrs.steps); step += 1) {
    for (const [name, parameter] of parameters) {
      parameter.setGrad((named[`gradients.${name}`] as Tensor).select(0, step - 1).clone())
    }
    for (const group of rates ? optimizer.groups : []) group.lr = rates?.[step - 1] ?? group.lr
    noGrad(() => optimizer.step())
    if (!kept.includes(step)) continue
    for (const [name, parameter] of parameters) results[`${name}@${step}`] = parameter.detach().clone()
  }
  return results
}

const known = 'Adadelta Adagrad Adam Adamax AdamW ASGD LARS Lion NAdam RAdam RMSprop Rprop SGD'.split(' ')

export const optim: Table = Object.fromEntries(known.map((name) => [name, steps]))
