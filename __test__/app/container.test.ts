import { expect, test } from 'vitest'
import { Container, token } from '../../src/app/container.js'

const clock = token<{ now: number }>('clock')
const greeting = token<string>('greeting')

test('a service is made once, on first use, from other services', () => {
  let made = 0
  const container = new Container()
    .register(clock, () => ({ now: ++made }))
    .register(greeting, (services) => `it is ${services.get(clock).now}`)
  expect(made).toBe(0)
  expect(container.get(greeting)).toBe('it is 1')
  expect(container.get(clock)).toBe(container.get(clock))
  expect(made).toBe(1)
})

test('a later registration replaces an earlier one, in this container only', () => {
  const app = new Container().register(clock, () => ({ now: 1 }))
  const run = new Container(app).register(clock, () => ({ now: 2 }))
  expect(run.get(clock).now).toBe(2)
  expect(app.get(clock).now).toBe(1)
  expect(() => new Container().get(greeting)).toThrow(/greeting/)
})

test('what was made is ended newest first, also when one of them fails', async () => {
  const ended: string[] = []
  const container = new Container()
    .register(
      clock,
      () => ({ now: 1 }),
      () => ended.push('clock'),
    )
    .register(
      greeting,
      (services) => `it is ${services.get(clock).now}`,
      () => {
        ended.push('greeting')
        throw new Error('on purpose')
      },
    )
  container.get(greeting)
  await expect(container.dispose()).rejects.toThrow('on purpose')
  expect(ended).toEqual(['greeting', 'clock'])
  await container.dispose()
  expect(ended).toHaveLength(2)
})
