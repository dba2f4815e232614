/** `spt export`: the backbone of a run as a file for other programs. */
import { exportFormatOf, exportRun } from '../app/export.js'
import { wholeNumbers } from './whole-numbers.js'

export async function exportBackbone(
  source: string,
  { format, output, image, opset }: { format?: string; output: string; image?: string; opset?: string },
): Promise<number> {
  const done = await exportRun(source, {
    format: exportFormatOf(format, output),
    output,
    image: image === undefined ? undefined : wholeNumbers('--image', image, 3),
    opset: opset === undefined ? undefined : wholeNumbers('--opset', opset, 1)[0],
  })
  const what = done.image === undefined ? 'weights' : `ONNX model for images [batch, ${done.image.join(', ')}]`
  console.log(`${output}: ${what}, from ${done.checkpoint}`)
  return 0
}
