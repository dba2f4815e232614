/** The networks of the reference vectors, by the name of their operation. */
import { convolutional } from './convolutional.js'
import type { Table } from './table.js'
import { transformers } from './transformers.js'

export const models: Table = {
  ...convolutional,
  ...transformers,
}
