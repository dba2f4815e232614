/**
 * The command `spt`: what can be typed, and the exit status. Each command's work is in a file of its own, imported when
 * it is asked for, so that `spt --help` does not wait for the native core.
 *
 * Exit status: 0 done, 1 failed, 2 typed wrongly, 130 and 143 stopped by Ctrl-C and SIGTERM (after saving).
 */
import { Command, CommanderError } from 'commander'
import { packageVersion } from '../runs/package-version.js'
import { reportError } from './report-error.js'

const usageStatus = 2

/** Does what was typed and returns the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  let status = 0
  const program = commands((result) => {
    status = result
  })
  if (args.length === 0) {
    program.outputHelp()
    return usageStatus
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return status
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageStatus
    return reportError(error, { stack: args.includes('--debug') })
  }
}

function commands(done: (status: number) => void): Command {
  const program = new Command('spt')
    .description('Pretrains vision backbones by self-supervision.')
    .version(packageVersion(), '-v, --version', 'print the version')
    .option('--debug', 'print the stack of an error')
    .helpOption('-h, --help', 'print this')
    .helpCommand(false)
    .exitOverride()
    .showSuggestionAfterError()

  program
    .command('run', { isDefault: true })
    .description('train what a configuration file describes (the word "run" may be left out)')
    .argument('[config]', 'a YAML file')
    .argument('[overrides...]', 'key=value sets, +key=value adds, ~key deletes; for example trainer.max_epochs=5')
    .option('--resume <dir>', 'go on with the run in this folder instead')
    .option('--profile', 'print where the time of training steps goes, by operation, and write profile.json')
    .action(
      async (config: string | undefined, overrides: string[], options: { resume?: string; profile?: boolean }) => {
        const { run } = await import('./run.js')
        done(await run(config, overrides, options))
      },
    )

  program
    .command('doctor')
    .description('print devices, CPU features, versions: whether this machine can train')
    .option('--json', 'as JSON')
    .action(async ({ json = false }: { json?: boolean }) => {
      const { doctor } = await import('./doctor.js')
      done(await doctor({ json }))
    })

  program
    .command('plugins')
    .description('list the plugins that a configuration may name')
    .argument('[packages...]', "third parties' packages or files to list too")
    .option('--kind <kind>', 'only this kind, such as method or callback')
    .option('--json', 'as JSON, with every option')
    .action(async (packages: string[], options: { kind?: string; json?: boolean }) => {
      const { plugins } = await import('./plugins.js')
      done(await plugins(packages, options))
    })

  program
    .command('methods')
    .description('list the methods by family, with their papers and what they need')
    .argument('[packages...]', "third parties' packages or files to list too")
    .option('--json', 'as JSON')
    .action(async (packages: string[], options: { json?: boolean }) => {
      const { methods } = await import('./methods.js')
      done(await methods(packages, options))
    })

  program
    .command('summary')
    .description('print layers, output shapes, parameters and arithmetic of the networks of a configuration')
    .argument('<config>', 'a YAML file')
    .argument('[overrides...]', 'key=value, as for run')
    .option('--image <shape>', 'channels,height,width instead of those of the training data, which then are not read')
    .option('--depth <levels>', 'how far to go down into the backbone', '2')
    .option('--json', 'as JSON, with every layer')
    .action(async (config: string, overrides: string[], options: { image?: string; depth: string; json?: boolean }) => {
      const { summary } = await import('./summary.js')
      done(await summary(config, overrides, options))
    })

  const data = program.command('data').description('look at the images of a configuration before training on them')
  data
    .command('stats')
    .description('print mean and standard deviation of the images, as the normalize line to paste')
    .argument('<config>', 'a YAML file')
    .argument('[overrides...]', 'key=value, as for run')
    .option('--part <part>', 'train, val, test or predict', 'train')
    .option('--limit <images>', 'only so many, spread evenly')
    .option('--json', 'as JSON')
    .action(async (config: string, overrides: string[], options: { part: string; limit?: string; json?: boolean }) => {
      const { dataStats } = await import('./data.js')
      done(await dataStats(config, overrides, options))
    })
  data
    .command('show')
    .description('write a picture of images after their transforms: what the network sees')
    .argument('<config>', 'a YAML file')
    .argument('[overrides...]', 'key=value, as for run')
    .option('--part <part>', 'train, val, test or predict', 'train')
    .option('--images <count>', 'how many, a row each', '8')
    .option('--output <file>', 'a PNG file', 'views.png')
    .action(async (config: string, overrides: string[], options: { part: string; images: string; output: string }) => {
      const { dataShow } = await import('./data.js')
      done(await dataShow(config, overrides, options))
    })
  for (const command of data.commands) command.exitOverride().showSuggestionAfterError()

  program
    .command('export')
    .description('write the backbone of a run as an ONNX model or as PyTorch weights')
    .argument('<run>', 'the folder of a run, or one of its checkpoints')
    .requiredOption('--output <file>', 'where to')
    .option('--format <format>', 'onnx or safetensors; default: the ending of the output')
    .option('--image <shape>', 'channels,height,width of an image for onnx; default: as the run validates')
    .option('--opset <version>', 'of the ONNX operators, 18 to 21')
    .action(async (run: string, options: { format?: string; output: string; image?: string; opset?: string }) => {
      const { exportBackbone } = await import('./export.js')
      done(await exportBackbone(run, options))
    })

  program
    .command('bench')
    .description('train several methods under one budget and write a table of what came of it')
    .argument('<what>', 'methods')
    .argument('[overrides...]', 'key=value, as for run; for example base.trainer.max_epochs=5')
    .requiredOption('--suite <file>', 'a YAML file with name, base (a configuration) and rows (what differs)')
    .option('--output <dir>', 'folder of runs and tables; a suite that was stopped is gone on with there')
    .option('--only <rows>', 'only these rows, with commas between')
    .action(async (what: string, overrides: string[], options: { suite: string; output?: string; only?: string }) => {
      if (what !== 'methods') program.error(`error: unknown argument '${what}'; did you mean 'methods'?`)
      const { benchMethods } = await import('./bench.js')
      done(await benchMethods(overrides, options))
    })

  program
    .command('schema')
    .description('print the JSON Schema of configuration files, for editors')
    .argument('[packages...]', "third parties' packages or files to include")
    .option('--out <file>', 'write it to a file instead')
    .action(async (packages: string[], options: { out?: string }) => {
      const { schema } = await import('./schema.js')
      done(await schema(packages, options))
    })

  for (const command of program.commands) command.exitOverride().showSuggestionAfterError()
  return program
}
