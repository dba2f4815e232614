/** Line charts as SVG text for the report: no script, no font, readable in light and dark. Not a plotting library. */

export interface Series {
  name: string
  /** [x, y] pairs in ascending x; points that are not finite are left out. */
  points: readonly (readonly [number, number])[]
  /** A mark to compare with, dashed, in the colour of the series of this name. */
  of?: string
}

export interface ChartOptions {
  title: string
  /** What is seen, for someone who has never seen such a curve. */
  caption: string
  /** What is counted along the horizontal axis, in whole numbers. */
  xLabel: string
  series: readonly Series[]
  /** Writes a tick of the vertical axis, for example as a percentage. */
  format?: (value: number) => string
  /** Ends of the vertical axis; found from the points where absent. */
  yMin?: number
  yMax?: number
}

const WIDTH = 560
const HEIGHT = 260
const LEFT = 58
const RIGHT = 14
const TOP = 14
const BOTTOM = 40
const COLOURS = ['#2f6fde', '#e07b00', '#1a9850', '#a03bc4', '#c8283c', '#5f6b7a']

/** A figure: title, legend with the last value of each series, axes with grid lines, caption. Empty where nothing is to be drawn. */
export function lineChart({ title, caption, xLabel, series, format = shortNumber, yMin, yMax }: ChartOptions): string {
  const drawn = series
    .map((one) => ({ ...one, points: one.points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y)) }))
    .filter((one) => one.points.length > 0)
  if (drawn.length === 0) return ''
  const xs = drawn.flatMap((one) => one.points.map(([x]) => x))
  const ys = drawn.flatMap((one) => one.points.map(([, y]) => y))
  const xTicks = ticks(min(xs), max(xs), 6, 1)
  const yTicks = ticks(yMin ?? min(ys), yMax ?? max(ys), 5)
  const xLow = Math.min(min(xs), xTicks[0] ?? 0)
  const xHigh = Math.max(max(xs), xTicks.at(-1) ?? 1)
  const yLow = yTicks[0] ?? 0
  const yHigh = yTicks.at(-1) ?? 1
  const px = (x: number): number => LEFT + ((x - xLow) / (xHigh - xLow || 1)) * (WIDTH - LEFT - RIGHT)
  const py = (y: number): number => HEIGHT - BOTTOM - ((y - yLow) / (yHigh - yLow || 1)) * (HEIGHT - TOP - BOTTOM)

  const grid = yTicks.map(
    (y) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${r(py(y))}" y2="${r(py(y))}"/>` +
      `<text class="tick" x="${LEFT - 6}" y="${r(py(y) + 4)}" text-anchor="end">${escapeHtml(format(y))}</text>`,
  )
  const feet = xTicks
    .filter((x) => x >= xLow && x <= xHigh)
    .map(
      (x) =>
        `<text class="tick" x="${r(px(x))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${shortNumber(x)}</text>`,
    )
  const names = drawn.flatMap((one) => (one.of === undefined ? [one.name] : []))
  const colourOf = ({ name, of = name }: Series) => COLOURS[Math.max(0, names.indexOf(of)) % COLOURS.length]
  const lines = drawn.map((one) => {
    const path = one.points.map(([x, y], at) => `${at === 0 ? 'M' : 'L'}${r(px(x))} ${r(py(y))}`).join('')
    const [lastX, lastY] = one.points.at(-1) as readonly [number, number]
    const line = `<path d="${path}" fill="none" stroke="${colourOf(one)}" stroke-width="2"`
    if (one.of !== undefined) return `${line} stroke-dasharray="5 4" opacity="0.7"/>`
    return `${line}/><circle cx="${r(px(lastX))}" cy="${r(py(lastY))}" r="3" fill="${colourOf(one)}"/>`
  })
  const legend = drawn.map((one) => {
    const last = (one.points.at(-1) as readonly [number, number])[1]
    const mark = `<span style="color:${colourOf(one)}">${one.of === undefined ? '━' : '┅'}</span>`
    return `<li>${mark} ${escapeHtml(one.name)} ${escapeHtml(format(last))}</li>`
  })
  return [
    `<figure><h3>${escapeHtml(title)}</h3>`,
    `<ul class="legend">${legend.join('')}</ul>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">`,
    ...grid,
    ...feet,
    `<text class="tick" x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" text-anchor="end">${escapeHtml(xLabel)}</text>`,
    ...lines,
    '</svg>',
    `<figcaption>${escapeHtml(caption)}</figcaption></figure>`,
  ].join('\n')
}

/** Round tick positions (1, 2 or 5 times a power of ten, no closer than `least`) that enclose [low, high]. */
export function ticks(low: number, high: number, wanted: number, least = 0): number[] {
  if (low === high) {
    const margin = Math.max((Math.abs(low) || 1) * 0.5, least)
    return [low - margin, low, low + margin].map((tick) => (least > 0 ? Math.round(tick) : tick))
  }
  const raw = Math.max((high - low) / wanted, least)
  const power = 10 ** Math.floor(Math.log10(raw))
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? 10 * power
  const first = Math.floor(low / step + 1e-9)
  const last = Math.ceil(high / step - 1e-9)
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)))
}

export function percent(fraction: number): string {
  return `${(fraction * 100).toFixed(1)} %`
}

export function shortNumber(value: number): string {
  if (Number.isInteger(value)) return String(value)
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(4)))
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}

const r = (value: number): string => value.toFixed(1)
const min = (values: readonly number[]): number => values.reduce((a, b) => Math.min(a, b), Infinity)
const max = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), -Infinity)
