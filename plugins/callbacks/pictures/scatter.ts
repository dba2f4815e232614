/** Points in the plane as a picture, in the colours of their classes. It has no axes: only neighbourhoods mean something. */
import { encodePng } from 'stable-pretraining'
import { palette, quantile } from './sheet.js'

/** Points [rows, 2] as discs in the colours of their classes. The outermost hundredth may lie on the border. */
export function scatter(points: Float32Array, classes: readonly number[], side = 640, radius = 3): Uint8Array {
  const pixels = new Uint8Array(side * side * 3).fill(255)
  const axis = [0, 1].map((offset) => classes.map((_, row) => points[2 * row + offset]!))
  const ranges = axis.map((values) => [quantile(values, 0.005), quantile(values, 0.995)] as const)
  const place = (row: number, offset: 0 | 1): number => {
    const [low, high] = ranges[offset]!
    const share = (axis[offset]![row]! - low) / Math.max(high - low, 1e-12)
    return Math.round(radius + Math.min(1, Math.max(0, share)) * (side - 1 - 2 * radius))
  }
  for (const [row, label] of classes.entries()) {
    const colour = palette[label % palette.length]!
    const [x, y] = [place(row, 0), place(row, 1)]
    for (let dy = -radius; dy <= radius; dy++)
      for (let dx = -radius; dx <= radius; dx++)
        if (dx * dx + dy * dy <= radius * radius)
          colour.forEach((value, c) => (pixels[((y + dy) * side + x + dx) * 3 + c] = Math.round(255 * value)))
  }
  return encodePng(pixels, side, side, 3)
}
