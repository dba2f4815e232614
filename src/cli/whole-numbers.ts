/** Whole numbers typed as one word, such as 3,224,224. */
import { argumentInvalid } from '../errors.js'

/** @throws ERR_ARGUMENT unless there are `count` of them. */
export function wholeNumbers(option: string, text: string, count: number): number[] {
  const values = text.split(/[,x]/).map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : NaN))
  if (values.length === count && values.every(Number.isSafeInteger)) return values
  const expected = count === 1 ? 'a whole number' : 'channels,height,width such as 3,224,224'
  throw argumentInvalid(option, expected, text)
}
