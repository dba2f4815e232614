/** Numbers that say how good embeddings and guesses are. */
export { topKAccuracy } from './accuracy.js'
export { nearestNeighbourScores, pairwiseDistance, type Distance, type NeighbourOptions } from './nearest-neighbours.js'
export { effectiveRank, rankMe, symmetricEigenvalues } from './rank-me.js'
