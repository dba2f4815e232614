/** Effective rank of the newest training embeddings, once a validation (Roy & Vetterli 2007). Needs no labels. */
import { defineCallback, effectiveRank, z } from 'stable-pretraining'
import { RankMe } from './rank-me.js'

export default defineCallback({
  name: 'effective-rank',
  aliases: ['EffectiveRank'],
  description: 'exp of the entropy of the singular values of the embedding: RankMe without its small constant.',
  paper: 'Roy & Vetterli 2007, The effective rank: a measure of effective dimensionality (EUSIPCO)',
  config: z.object({
    name: z.string().min(1).default('effective_rank').describe('name of its metric'),
    target: z.string().default('embedding').describe('key of the embedding, in the outputs or the batch'),
    queueLength: z.int().positive().default(2048).describe('newest training rows that are measured'),
  }),
  build: ({ config }) => new RankMe({ ...config, measure: effectiveRank }),
})
