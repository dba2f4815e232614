import { describe, expect, test } from 'vitest'
import {
  crossViewEntropy,
  DINOv1Loss,
  DINOv2Loss,
  IBOTPatchLoss,
  iBOTPatchLoss,
  KoLeoLoss,
  msnLoss,
  priorDivergence,
  prototypePrior,
  sinkhornKnopp,
  softCrossEntropy,
  SwAVLoss,
  swavMultiCrop,
} from '../../src/losses/index.js'
import { cat, randn, tensor, type Tensor, zeros } from '../../src/tensor/index.js'
import { expectGradients, point } from '../finite-differences.js'
import { integer, matrix, normals, randomFrom, rowsOf } from '../plain-arrays.js'

const list = async (values: Tensor): Promise<number[]> => Array.from((await values.data()) as Float64Array, Number)

function softmax(row: number[], temperature = 1): number[] {
  const powers = row.map((x) => Math.exp((x - Math.max(...row)) / temperature))
  const total = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / total)
}

const entropy = (target: number[], logits: number[], temperature: number): number =>
  -softmax(logits, temperature).reduce((sum, p, k) => sum + target[k]! * Math.log(p), 0)

const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / values.length

/** Columns to 1/K, rows to 1/N, so many times, in plain loops and double precision. */
function slowSinkhorn(scores: number[][], temperature: number, rounds: number): number[][] {
  const largest = Math.max(...scores.flat())
  let q = scores.map((row) => row.map((x) => Math.exp((x - largest) / temperature)))
  const total = q.flat().reduce((a, b) => a + b, 0)
  q = q.map((row) => row.map((x) => x / total))
  const [n, k] = [q.length, q[0]!.length]
  for (let round = 0; round < rounds; round += 1) {
    const columns = q[0]!.map((_, j) => q.reduce((sum, row) => sum + row[j]!, 0))
    q = q.map((row) => row.map((x, j) => x / columns[j]! / k))
    q = q.map((row) => row.map((x) => x / row.reduce((a, b) => a + b, 0) / n))
  }
  return q.map((row) => row.map((x) => x * n))
}

describe('Sinkhorn', () => {
  test('is that of plain loops, with any number of rounds', async () => {
    const random = randomFrom(21)
    for (let round = 0; round < 12; round += 1) {
      const [n, k] = [1 + integer(random, 7), 1 + integer(random, 6)]
      const scores = normals(random, n * k)
      const options = { temperature: 0.3 + random(), iterations: integer(random, 5) }
      const found = await list(sinkhornKnopp(matrix(scores, [n, k]), options))
      const expected = slowSinkhorn(rowsOf(scores, k), options.temperature, options.iterations).flat()
      found.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
    }
  })

  test('rows sum to 1; with many rounds prototypes share the samples evenly', async () => {
    const q = sinkhornKnopp(matrix(normals(randomFrom(22), 40), [8, 5]), { temperature: 0.5, iterations: 60 })
    for (const sum of await list(q.sum(1))) expect(sum).toBeCloseTo(1, 5)
    for (const sum of await list(q.sum(0))) expect(sum).toBeCloseTo(8 / 5, 4)
  })

  test('scores far apart do not make it NaN: a prototype far from all samples still has its share', async () => {
    const found = await list(
      sinkhornKnopp(
        tensor([
          [10, -10],
          [9, -10],
        ]),
        { temperature: 0.025 },
      ),
    )
    expect(found.every(Number.isFinite)).toBe(true)
    expect(found[1]! + found[3]!).toBeGreaterThan(0.5)
    expect(await list(sinkhornKnopp(tensor([[5, -5, 0]]), { temperature: 0.02 }))).toEqual(
      [1 / 3, 1 / 3, 1 / 3].map(Math.fround),
    )
  })

  test('carries no gradient, keeps NaN, refuses what is no matrix', async () => {
    const scores = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      { requiresGrad: true },
    )
    expect(sinkhornKnopp(scores).requiresGrad).toBe(false)
    expect(
      await list(
        sinkhornKnopp(
          tensor([
            [NaN, 1],
            [1, 2],
          ]),
        ),
      ),
    ).toEqual([NaN, NaN, NaN, NaN])
    expect(() => sinkhornKnopp(zeros([2, 3, 4]))).toThrow(/\[2, 3, 4\]/)
    expect(() => sinkhornKnopp(zeros([0, 4]))).toThrow(/\[0, 4\]/)
  })
})

describe('SwAV', () => {
  const random = randomFrom(23)
  const [n, dim, k] = [5, 4, 3]
  const draw = (rows: number) => matrix(normals(random, rows * dim), [rows, dim]).keep()
  const [a, b, weight, queue] = [draw(n), draw(n), draw(k), draw(6)]

  test.each([
    ['without a queue', undefined],
    ['with a queue', queue],
  ])('is the swapped cross-entropy of codes, %s', async (_, rows) => {
    const prototypes = weight.clone()
    const loss = new SwAVLoss({ temperature: 0.2, epsilon: 0.1, sinkhornIterations: 4 })
    const found = await loss.forward(a, b, prototypes, rows).item()
    const unit = async (z: Tensor) => rowsOf(await list(z), dim).map((row) => row.map((x) => x / Math.hypot(...row)))
    const directions = await unit(weight)
    rowsOf(await list(prototypes), dim).forEach((row) => expect(Math.hypot(...row)).toBeCloseTo(1, 6))
    const score = async (z: Tensor) =>
      (await unit(z)).map((row) => directions.map((c) => row.reduce((sum, x, i) => sum + x * c[i]!, 0)))
    const [first, second] = [await score(a), await score(b)]
    const codes = slowSinkhorn([...first, ...second, ...(rows ? await score(rows) : [])], 0.1, 4)
    const swapped = (scores: number[][], targets: number[][]) =>
      mean(scores.map((row, i) => entropy(targets[i]!, row, 0.2)))
    expect(found).toBeCloseTo((swapped(first, codes.slice(n, 2 * n)) + swapped(second, codes.slice(0, n))) / 2, 4)
  })

  test('many crops: every pair of a global view and a later one, both ways', async () => {
    const views = [a, b, draw(n)] as const
    const prototypes = weight.normalize()
    const found = await swavMultiCrop([views[0], views[1]], [views[2]], prototypes, { temperature: 0.2 }).item()
    const scores = views.map((z) => z.normalize().matmul(prototypes.t()))
    const codes = scores.map((one) => sinkhornKnopp(one))
    const pairs = [
      [0, 1],
      [1, 0],
      [0, 2],
      [2, 0],
      [1, 2],
      [2, 1],
    ] as const
    const terms = await Promise.all(pairs.map(([i, j]) => softCrossEntropy(codes[i]!, scores[j]!, 0.2).mean().item()))
    expect(found).toBeCloseTo(mean(terms), 5)
    expect(() => swavMultiCrop([a], [], prototypes)).toThrow(/two views/)
  })

  test('many crops as in the paper: only global views have codes, balanced by earlier rows of their own', async () => {
    const views = [a, b, draw(n)] as const
    const queues = [draw(4), draw(4)]
    const prototypes = weight.normalize()
    const options = { temperature: 0.2, localCodes: false, queues }
    const found = await swavMultiCrop([views[0], views[1]], [views[2]], prototypes, options).item()
    const score = (z: Tensor) => z.normalize().matmul(prototypes.t())
    const codes = queues.map((rows, i) => sinkhornKnopp(cat([score(views[i]!), score(rows)], 0)).narrow(0, 0, n))
    const pairs = [
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 2],
    ] as const
    const terms = pairs.map(([i, j]) => softCrossEntropy(codes[i]!, score(views[j]), 0.2).mean().item())
    expect(found).toBeCloseTo(mean(await Promise.all(terms)), 5)
  })

  test('gradients, the codes being constants, are those of finite differences', async () => {
    const inputs = [point(random, 3, 4), point(random, 3, 4), point(random, 2, 4)]
    const targets = tensor([
      [0.2, 0.8],
      [0.5, 0.5],
      [0.9, 0.1],
    ])
      .to('float64')
      .keep()
    await expectGradients(
      (z, _, c) => softCrossEntropy(targets, z.normalize().matmul(c.normalize().t()), 0.3).mean(),
      inputs,
    )
    const [z1, z2] = inputs.map(({ values, shape }) =>
      tensor(Float64Array.from(values), { shape, requiresGrad: true }),
    ) as [Tensor, Tensor]
    const loss = new SwAVLoss()
    const prototypes = randn([2, 4], { dtype: 'float64' })
    loss.forward(z1, z2, prototypes).backward()
    const scores = [z1, z2].map((z) => z.detach().normalize().matmul(prototypes.t())) as [Tensor, Tensor]
    const [, second] = loss.codes(scores, prototypes)
    const again = tensor(Float64Array.from(inputs[0]!.values), { shape: [3, 4], requiresGrad: true })
    softCrossEntropy(second, again.normalize().matmul(prototypes.t()), 0.1).mean().mul(0.5).backward()
    expect(await list(z1.grad as Tensor)).toEqual(await list(again.grad as Tensor))
  })

  test('refuses projections that do not meet the prototypes or the queue', () => {
    expect(() => new SwAVLoss().forward(a, b, zeros([3, 7]))).toThrow(/4 dimensions, prototypes \[3, 7\]/)
    expect(() => new SwAVLoss().forward(a, b, weight.clone(), zeros([2, 7]))).toThrow(/queue \[2, 7\]/)
    expect(() => new SwAVLoss().forward(a, zeros([1, dim]), weight.clone())).toThrow(/\[5, 4\] and \[1, 4\]/)
  })
})

describe('DINO', () => {
  test('is the mean cross-entropy of all pairs of different views, in plain loops', async () => {
    const random = randomFrom(24)
    for (const [students, teachers, n, k] of [
      [2, 2, 3, 4],
      [5, 2, 1, 3],
      [1, 2, 2, 2],
      [3, 1, 2, 5],
    ] as const) {
      const logits = normals(random, students * n * k)
      const targets = rowsOf(normals(random, teachers * n * k), k).map((row) => softmax(row))
      let [sum, count] = [0, 0]
      for (let s = 0; s < students; s += 1) {
        for (let t = 0; t < teachers; t += 1) {
          if (s === t) continue
          for (let i = 0; i < n; i += 1) sum += entropy(targets[t * n + i]!, rowsOf(logits, k)[s * n + i]!, 0.1)
          count += n
        }
      }
      const loss = new DINOv1Loss().forward(matrix(logits, [students, n, k]), matrix(targets.flat(), [teachers, n, k]))
      expect(await loss.item()).toBeCloseTo(sum / count, 3)
    }
  })

  test('the centre follows the teacher by its momentum, one batch late, and is in the state', async () => {
    const loss = new DINOv1Loss({ centerMomentum: 0.75 })
    const [first, second] = [tensor([[[1, 3]], [[3, 5]]]), tensor([[[10, 0]]])]
    expect(await list(loss.softmaxCenterTeacher(first, 1))).toEqual(await list(first.softmax(-1)))
    loss.updateCenter(first)
    expect(loss.center).toBeNull()
    loss.softmaxCenterTeacher(first, 1, { updateCenters: false })
    expect(loss.center).toBeNull()
    const centred = await list(loss.softmaxCenterTeacher(first, 0.5))
    expect(await list(loss.center as Tensor)).toEqual([2, 4])
    expect(centred).toEqual(
      await list(
        first
          .sub(tensor([2, 4]))
          .div(0.5)
          .softmax(-1),
      ),
    )
    loss.updateCenter(second)
    const resumed = new DINOv1Loss({ centerMomentum: 0.75 })
    resumed.loadStateDict(loss.stateDict())
    for (const one of [loss, resumed]) {
      one.applyCenterUpdate()
      expect(await list(one.center as Tensor)).toEqual([2 * 0.75 + 10 * 0.25, 4 * 0.75])
    }
    expect(() => loss.updateCenter(zeros([1, 2, 3]))).toThrow(/\[views, samples, 2\], got \[1, 2, 3\]/)
  })

  test('the centre is loaded where the loss is part of another module', async () => {
    const [saved, resumed] = [new DINOv2Loss(), new DINOv2Loss()]
    saved.dino.updateCenter(tensor([[[1, 3]]]))
    saved.dino.applyCenterUpdate()
    saved.dino.updateCenter(tensor([[[2, 0]]]))
    expect([...saved.stateDict().keys()]).toEqual(['dino.center', 'dino.pending'])
    resumed.loadStateDict(saved.stateDict())
    resumed.dino.applyCenterUpdate()
    const [a, b] = await list(resumed.dino.center as Tensor)
    expect(a).toBeCloseTo(0.9 * 1 + 0.1 * 2, 6)
    expect(b).toBeCloseTo(0.9 * 3, 6)
  })

  test('Sinkhorn targets take all views together', async () => {
    const teacher = matrix(normals(randomFrom(25), 12), [2, 2, 3])
    const found = new DINOv1Loss().sinkhornKnoppTeacher(teacher, 0.3)
    expect(found.shape).toEqual([2, 2, 3])
    expect(await list(found)).toEqual(await list(sinkhornKnopp(teacher.reshape([4, 3]), { temperature: 0.3 })))
    expect(await list(new iBOTPatchLoss().sinkhornKnoppTeacher(teacher.reshape([4, 3]), 0.3))).toEqual(
      await list(found),
    )
  })

  test('DINOv2 is the weighted sum with iBOT', async () => {
    const random = randomFrom(26)
    const [student, teacher] = [
      matrix(normals(random, 12), [2, 2, 3]),
      matrix(normals(random, 12), [2, 2, 3]).softmax(-1),
    ]
    const [patches, targets] = [matrix(normals(random, 12), [4, 3]), matrix(normals(random, 12), [4, 3]).softmax(-1)]
    const loss = new DINOv2Loss({ dinoLossWeight: 2, ibotLossWeight: 3, temperatureStudent: 0.3, studentTemp: 0.4 })
    const dino = await crossViewEntropy(student, teacher, 0.3).item()
    const ibot = await new IBOTPatchLoss({ studentTemp: 0.4 }).forward(patches, targets).item()
    expect(await loss.forward(student, teacher, patches, targets).item()).toBeCloseTo(2 * dino + 3 * ibot, 4)
    expect(await loss.forward(student, teacher).item()).toBeCloseTo(2 * dino, 5)
    const rows = rowsOf(await list(patches), 3)
    const expected = mean(rowsOf(await list(targets), 3).map((target, i) => entropy(target, rows[i]!, 0.4)))
    expect(ibot).toBeCloseTo(expected, 5)
  })

  test('refuses views that do not meet, and a single pair of the same view', () => {
    const loss = new DINOv1Loss()
    expect(() => loss.forward(zeros([2, 3, 4]), zeros([2, 1, 4]))).toThrow(/\[2, 3, 4\] and teacher \[2, 1, 4\]/)
    expect(() => loss.forward(zeros([1, 3, 4]), zeros([1, 3, 4]))).toThrow(/no two different views/)
    expect(() => loss.forward(zeros([2, 0, 4]), zeros([2, 0, 4]))).toThrow(/\[2, 0, 4\]/)
    expect(() => new IBOTPatchLoss().forward(zeros([0, 4]), zeros([0, 4]))).toThrow(/\[0, 4\]/)
  })
})

test('KoLeo is −mean ln of the distance to the nearest row; equal rows are safe', async () => {
  const rows = [
    [1, 0],
    [0, 2],
    [-3, 0],
    [3, 4],
  ]
  const unit = rows.map((row) => row.map((x) => x / Math.hypot(...row)))
  const nearest = unit.map((a, i) =>
    Math.min(...unit.filter((_, j) => j !== i).map((b) => Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!))),
  )
  expect(await new KoLeoLoss().forward(tensor(rows)).item()).toBeCloseTo(-mean(nearest.map(Math.log)), 5)
  expect(
    Number.isFinite(
      await new KoLeoLoss()
        .forward(
          tensor([
            [1, 2],
            [1, 2],
          ]),
        )
        .item(),
    ),
  ).toBe(true)
  expect(() => new KoLeoLoss().forward(zeros([1, 2]))).toThrow(/at least 2 samples, got \[1, 2\]/)
})

test('MSN and PMSN: cross-entropy to Sinkhorn targets, entropy of the mean, divergence from the prior', async () => {
  const random = randomFrom(27)
  const [n, k] = [4, 3]
  const [student, teacher] = [normals(random, n * k), normals(random, n * k)]
  const found = msnLoss(matrix(student, [n, k]), matrix(teacher, [n, k]), { temperatureTeacher: 0.3, meMaxWeight: 2 })
  const targets = slowSinkhorn(rowsOf(teacher, k), 0.3, 3)
  const cross = mean(rowsOf(student, k).map((row, i) => entropy(targets[i]!, row, 0.1)))
  const average = [0, 1, 2].map((c) => mean(rowsOf(student, k).map((row) => softmax(row, 0.1)[c]!)))
  const meMax = average.reduce((sum, p) => sum + p * Math.log(p + 1e-8), 0)
  expect(await found.loss.item()).toBeCloseTo(cross + 2 * meMax, 3)
  const prior = prototypePrior('power_law', k, 0.5)
  const weights = [1, 2 ** -0.5, 3 ** -0.5]
  prior.forEach((p, i) => expect(p).toBeCloseTo(weights[i]! / weights.reduce((a, b) => a + b), 12))
  expect(prototypePrior('uniform', 4, 0.5)).toEqual(Float64Array.of(0.25, 0.25, 0.25, 0.25))
  const divergence = average.reduce((sum, p, i) => sum + p * (Math.log(p + 1e-8) - Math.log(prior[i]!)), 0)
  expect(await priorDivergence(matrix(student, [n, k]), prior).item()).toBeCloseTo(divergence, 4)
})

describe('gradients are those of finite differences', () => {
  const random = randomFrom(28)
  const targets = point(random, 6, 3)
  const probabilities = () => tensor(Float64Array.from(targets.values), { shape: [2, 3, 3] }).softmax(-1)
  test.each<[string, (x: Tensor) => Tensor, number[]]>([
    ['DINO', (x) => new DINOv1Loss({ temperatureStudent: 0.5 }).forward(x, probabilities()), [3, 3, 3]],
    ['iBOT', (x) => new IBOTPatchLoss({ studentTemp: 0.5 }).forward(x, probabilities().reshape([6, 3])), [6, 3]],
    [
      'DINOv2',
      (x) =>
        new DINOv2Loss({ temperatureStudent: 0.7, studentTemp: 0.7 }).forward(
          x,
          probabilities(),
          x.reshape([-1, 3]).narrow(0, 0, 6),
          probabilities().reshape([6, 3]),
        ),
      [3, 3, 3],
    ],
    ['KoLeo', (x) => new KoLeoLoss().forward(x), [4, 3]],
    ['MSN', (x) => msnLoss(x, probabilities().reshape([6, 3]), { temperatureStudent: 0.6 }).loss, [6, 3]],
    ['PMSN', (x) => priorDivergence(x, prototypePrior('power_law', 3, 0.3), 0.6), [6, 3]],
  ])('%s', async (_, loss, shape) => {
    await expectGradients(loss, [point(random, ...shape)])
  })
})
