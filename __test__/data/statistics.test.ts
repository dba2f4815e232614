/** Names and values of the table of statistics. */
import { expect, test } from 'vitest'
import { datasetStatistics, statisticsOf } from '../../src/data/statistics.js'

test('names are found however they are written', () => {
  expect(statisticsOf('CIFAR10')).toEqual({ mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] })
  expect(statisticsOf('fashion-mnist')).toEqual({ mean: [0.286], std: [0.353] })
  expect(statisticsOf('tiny_imagenet')).toBe(datasetStatistics['TinyImageNet'])
})

test('an unknown name is an error that lists the known ones', () => {
  expect(() => statisticsOf('CIFAR11')).toThrow(
    expect.objectContaining({ code: 'ERR_ARGUMENT', hint: expect.stringContaining('CIFAR10, CIFAR100, ImageNet') }),
  )
})

test.each(Object.entries(datasetStatistics))('%s has a mean and a deviation for each channel', (_, { mean, std }) => {
  expect([1, 3]).toContain(mean.length)
  expect(std).toHaveLength(mean.length)
  // Of images in [0, 1].
  for (const value of [...mean, ...std]) expect(value > 0 && value < 1).toBe(true)
})
