import { describe, expect, test } from 'vitest'
import { lineChart, ticks } from '../../../plugins/callbacks/report/chart.js'
import { readCurves } from '../../../plugins/callbacks/report/curves.js'
import { reportPage } from '../../../plugins/callbacks/report/page.js'
import { dataUri } from '../../../plugins/callbacks/report/picture.js'
import { decodeImage, encodePng } from '../../../src/native.js'
import { summaryTable } from '../../../plugins/callbacks/report/words.js'

describe('curves', () => {
  const csv = [
    'epoch,step,untrained/knn_top1,fit/loss_step,hparams/lr_default_0,eval/knn_top1,rankme',
    '0,0,0.31,,,,',
    '0,10,,5.5,0.06,,',
    '0,19,,,,0.4,17',
    '1,38,,,,0.45,23',
    '',
  ].join('\n')

  test('are read by name, with the untrained value beside them', () => {
    const { losses, accuracies, rank } = readCurves(csv)
    expect(losses).toEqual([{ name: 'what is minimised', points: [[10, 5.5]] }])
    expect(accuracies).toEqual([
      {
        label: 'k nearest neighbours',
        meaning: 'classified',
        untrained: 0.31,
        points: [
          [1, 0.4],
          [2, 0.45],
        ],
      },
    ])
    expect(rank.at(-1)).toEqual([2, 23])
  })

  test('of no metrics at all are empty', () => {
    expect(readCurves('')).toEqual({ losses: [], accuracies: [], rank: [] })
  })

  test('the table compares before and after', () => {
    expect(summaryTable(readCurves(csv))).toEqual([
      '                      untrained    trained',
      'k nearest neighbours     31.0 %     45.0 %',
    ])
  })
})

describe('chart', () => {
  test.each([
    [0, 1, 5],
    [0.313, 0.317, 5],
    [-3, 1234, 5],
    [7, 7, 5],
    [1, 3, 6, 1],
    [1, 1, 6, 1],
  ])('ticks of %d to %d are round and enclose it', (low, high, wanted, least = 0) => {
    const marks = ticks(low, high, wanted, least)
    expect(least === 0 || marks.every(Number.isInteger)).toBe(true)
    expect(marks[0]).toBeLessThanOrEqual(low)
    expect(marks.at(-1)).toBeGreaterThanOrEqual(high)
    expect(marks.length).toBeLessThanOrEqual(wanted + 3)
  })

  test('leaves out points that are no numbers, and is empty without any', () => {
    const one = lineChart({
      title: 'a',
      caption: 'b',
      xLabel: 'x',
      series: [
        {
          name: 's',
          points: [
            [0, NaN],
            [1, 2],
            [2, 3],
          ],
        },
      ],
    })
    expect(one).toContain('<path d="M')
    expect(one).not.toContain('NaN')
    expect(lineChart({ title: 'a', caption: 'b', xLabel: 'x', series: [{ name: 's', points: [[0, NaN]] }] })).toBe('')
  })
})

describe('page', () => {
  const content = {
    ...readCurves('epoch,step,untrained/knn_top1,eval/knn_top1\n0,0,0.31,\n0,19,,0.4\n'),
    title: 'Flowers & <more>',
    finished: true,
    method: 'simclr' as string | undefined,
    settings: [['method', 'simclr'] as [string, string]],
    epochs: 1,
    steps: 19,
    images: 2500,
    classes: ['daisy', 'rose'],
    rows: [{ query: { uri: 'data:,', label: 'daisy' }, neighbours: [{ uri: 'data:,', label: 'rose', same: false }] }],
    files: [['metrics', '/runs/metrics.csv'] as [string, string]],
  }

  test('says in words what happened, with the untrained backbone and guessing beside it', () => {
    const page = reportPage(content)
    expect(page).toContain('1 epoch (19 steps) on 2500 images')
    expect(page).toContain('Guessing is right in 50.0 % of cases')
    expect(page).toContain('40.0 % of the validation images are given the right class')
    expect(page).toContain('+9.0 points')
    expect(page).toContain('class="wrong"')
  })

  test('says of a method only what is true of it', () => {
    expect(reportPage(content)).toContain('It was not told what they show')
    expect(reportPage({ ...content, method: 'supervised' })).toContain('It was told the class of each')
    expect(reportPage({ ...content, method: undefined })).not.toContain('It was')
  })

  test('is one file: no script, nothing from elsewhere, text escaped', () => {
    const page = reportPage(content)
    expect(page).not.toMatch(/<script|<link|https?:/)
    expect(page).toContain('<h1>Flowers &#38; &#60;more&#62;</h1>')
  })
})

describe('pictures', () => {
  test('a PNG holds the pixels it was made of', async () => {
    const pixels = Uint8Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 13)
    const png = Buffer.from(encodePng(pixels, 3, 2, 3))
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]]).toEqual([3, 2, 8, 2])
    expect(Array.from((await decodeImage(png)).data)).toEqual(Array.from(pixels))
  })

  test('a file of an image is passed through, pixels of a larger array become PNG', () => {
    const jpeg = Uint8Array.of(0xff, 0xd8, 0xff, 0xe0)
    expect(dataUri({ encoded: jpeg })).toBe(`data:image/jpeg;base64,${Buffer.from(jpeg).toString('base64')}`)
    const raw = { pixels: Uint8Array.of(9, 9, 1, 2, 3, 4), offset: 2, width: 2, height: 2, channels: 1 }
    expect(dataUri(raw)).toBe(
      `data:image/png;base64,${Buffer.from(encodePng(Uint8Array.of(1, 2, 3, 4), 2, 2, 1)).toString('base64')}`,
    )
  })

  test('pixels that do not fill the picture are refused', () => {
    expect(() => encodePng(new Uint8Array(5), 2, 2, 1)).toThrow(/ERR_|5/)
  })
})
