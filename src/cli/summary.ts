/** `spt summary`: layers, shapes, parameters and arithmetic of a configuration's networks. */
import { summarizeConfiguration, type ConfigurationSummary } from '../app/summary.js'
import { summaryTable } from '../nn/index.js'
import { locate } from './run.js'
import { wholeNumbers } from './whole-numbers.js'

export async function summary(
  config: string,
  overrides: readonly string[],
  { image, depth, json = false }: { image?: string; depth: string; json?: boolean },
): Promise<number> {
  const levels = wholeNumbers('--depth', depth, 1)[0] ?? 0
  const shape = image === undefined ? undefined : wholeNumbers('--image', image, 3)
  const found = await summarizeConfiguration(locate(config), overrides, { image: shape })
  console.log(json ? JSON.stringify(found, null, 2) : describe(found, levels))
  return 0
}

function describe({ backbone, networks }: ConfigurationSummary, depth: number): string {
  const others = networks.map(
    ({ name, type, parameters, trainableParameters }) =>
      `${name} (${type}): ${parameters.toLocaleString('en-US')} parameters, ` +
      `${trainableParameters.toLocaleString('en-US')} trainable`,
  )
  return [`backbone: ${backbone.name}, ${backbone.dim} wide`, summaryTable(backbone, { depth }), ...others].join('\n')
}
