/** Losses: stateless functions and classes, and those with checkpointed state (centres, queues, covariances). */
export * from './clustering.js'
export * from './contrastive.js'
export * from './decorrelation.js'
export * from './elementwise.js'
export * from './gaussianity.js'
export * from './queue.js'
export * from './reconstruction.js'
export * from './similarity.js'
