/* Written by `napi build` from the native core; do not edit. */
export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16' | 'int64' | 'uint8' | 'bool'
/** Where tensors live: the CPU, the best GPU, or one by its number or a part of its name. */
export type DeviceName = 'cpu' | 'gpu' | `gpu:${string}`
export type TypedArray = Float32Array | Float64Array | BigInt64Array | Uint8Array

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array

/**
 * Which binding artifact the generated loader actually loaded: `'native'` for
 * a native addon, otherwise the `platformArchABI` of the WASI flavor. Every
 * flavor napi-rs can build is listed, because `NAPI_RS_NATIVE_LIBRARY_PATH`
 * can point the loader at a WASI artifact this package does not build itself.
 */
export declare const __napiBindingTarget: 'native' | 'wasm32-wasi' | 'wasm32-wasip1'

/** Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): the same on every device and thread count. */
export declare class Generator {
  /** Stream `stream` (default 0) of `seed` (a whole number from 0 to 2⁵³). */
  constructor(seed: number, stream?: number | undefined | null)
  /** Where it stands: with `setState` the same numbers come again. */
  getState(): GeneratorState
  /** Continues where `state` was taken. */
  setState(state: GeneratorState): void
  /** A uniform number in [0, 1) with 53 random bits. */
  uniform(): number
  /** A whole number in [0, n), each equally likely. */
  integer(n: number): number
  /** 0..n in a random order. */
  permutation(n: number): Array<number>
}

/**
 * Steps that make a view of an image: bytes first, then `toImage`, then `normalize`. Each method appends one and returns
 * nothing; ERR_ARGUMENT where an argument is out of range or a step does not fit those before it.
 */
export declare class Pipeline {
  /** Without steps; for images of bytes, or of floats where `floats`. */
  constructor(floats?: boolean | undefined | null)
  /** A window of random area (a share of the image in `scale`) and width / height (`ratio`), resized to [height, width]. */
  randomResizedCrop(to: Array<number>, scale: Array<number>, ratio: Array<number>, method: string, antialias: boolean): void
  /** Resized to [height, width]. */
  resize(to: Array<number>, method: string, antialias: boolean): void
  /** Resized until the shorter edge is `edge` pixels, and the longer one at most `longest`. */
  resizeEdge(edge: number, longest: number | undefined | null, method: string, antialias: boolean): void
  /** The middle, [height, width]; what the image lacks is black. */
  centerCrop(to: Array<number>): void
  /** A window [height, width] at a random place, after padding by [left, top, right, bottom] pixels. */
  randomCrop(to: Array<number>, padding: Array<number>, padIfNeeded: boolean, mode: 'constant' | 'edge' | 'reflect' | 'symmetric', fill: number): void
  /** Mirrored left to right with probability `p`. */
  randomHorizontalFlip(p: number): void
  /** Mirrored top to bottom with probability `p`. */
  randomVerticalFlip(p: number): void
  /** Factors from ranges, in a random order, with probability `p`; null leaves an aspect alone. Hue in turns (-0.5..0.5). */
  colorJitter(brightness: Array<number> | undefined | null, contrast: Array<number> | undefined | null, saturation: Array<number> | undefined | null, hue: Array<number> | undefined | null, p: number): void
  /** Grey in all channels, with probability `p`. */
  randomGrayscale(p: number): void
  /** Blurred by a Gaussian kernel of [across, down] pixels (odd) and a sigma from a range, with probability `p`. */
  gaussianBlur(kernel: Array<number>, sigma: Array<number>, p: number): void
  /** Pixels from the threshold (0..255) up are inverted, with probability `p`. */
  randomSolarize(threshold: number, p: number): void
  /** Grey images become RGB. */
  rgb(): void
  /** Bytes become floats 0..1. */
  toImage(): void
  /** (x − mean) / std of each channel; one value serves all three. */
  normalize(mean: Array<number>, std: Array<number>): void
  /**
   * An image [..., channel, height, width] of uint8 or float32 (0..1) by this pipeline, at once, on this thread. Images
   * of one or three channels; others take steps that look at one channel at a time.
   */
  apply(image: Tensor, seed?: number | undefined | null): Tensor
  /**
   * Turned counter-clockwise by degrees from a range; `expand` shows all of the result. Center [x, y] in pixels, the
   * middle where null; fill one value or a value a channel, null blends towards zeros.
   */
  randomRotation(degrees: Array<number>, expand: boolean, center: Array<number> | undefined | null, method: string, fill?: Array<number> | undefined | null): void
  /**
   * Turned clockwise, moved by at most [part of the width, of the height], scaled, sheared by degrees
   * [x low, x high, y low, y high]; null leaves an aspect alone.
   */
  randomAffine(degrees: Array<number>, translate: Array<number> | undefined | null, scale: Array<number> | undefined | null, shear: Array<number> | undefined | null, center: Array<number> | undefined | null, method: string, fill?: Array<number> | undefined | null): void
  /** Seen at a slant, corners moved inwards by at most `distortion` of half a side, with probability `p`. */
  randomPerspective(distortion: number, method: string, fill: Array<number> | undefined | null, p: number): void
  /** Dark becomes bright, with probability `p`. */
  randomInvert(p: number): void
  /** The upper `bits` of each value are kept, with probability `p`. */
  randomPosterize(bits: number, p: number): void
  /** Levels spread so that each takes as many pixels, with probability `p`. */
  randomEqualize(p: number): void
  /** Levels stretched to the whole range, with probability `p`. */
  randomAutocontrast(p: number): void
  /** Sharper (factor above 1) or softer, with probability `p`. */
  randomAdjustSharpness(factor: number, p: number): void
  /**
   * A window of random area (a share in `scale`) and height / width (`ratio`) takes one value, a value a channel, or
   * normal numbers where null, with probability `p`.
   */
  randomErasing(scale: Array<number>, ratio: Array<number>, value: Array<number> | undefined | null, p: number): void
  /** Pillow's blur by a sigma from a range, with probability `p`. */
  pilGaussianBlur(sigma: Array<number>, p: number): void
  /** Normal noise, mean and deviation in parts of the range of the image, kept in range if `clip`, with probability `p`. */
  gaussianNoise(mean: number, sigma: number, clip: boolean, p: number): void
  /** Normal noise of mean 0, not clipped where the image is floats, with probability `p`. */
  additiveGaussian(sigma: number, p: number): void
  /** Channels in a random order. */
  randomChannelPermutation(): void
  /** A share `ratio` of the patches of `side` pixels, drawn at random, takes a value. */
  patchMasking(side: number, ratio: number, value: number): void
  /** The window from row `top`, column `left`, which may be outside the image; black there. */
  crop(top: number, left: number, height: number, width: number): void
  /** [left, top, right, bottom] pixels added: constant (of `fill`), edge, reflect or symmetric. */
  pad(sides: Array<number>, mode: string, fill: number): void
  /** The window `height` x `width` from (top, left), resized to [height, width]. */
  resizedCrop(top: number, left: number, height: number, width: number, to: Array<number>, method: string, antialias: boolean): void
  /** Turned clockwise (degrees), moved (pixels), scaled, sheared (degrees). */
  affine(angle: number, translate: Array<number>, scale: number, shear: Array<number>, center: Array<number> | undefined | null, method: string, fill?: Array<number> | undefined | null): void
  /** Corners [x, y] of the image, four times, brought to others. */
  perspective(starts: Array<number>, ends: Array<number>, method: string, fill?: Array<number> | undefined | null): void
  /** Blurred by a kernel [across, down] (odd) of deviations [across, down]. */
  blur(kernel: Array<number>, sigma: Array<number>): void
  /** A window takes a value, or a value a channel. */
  erase(top: number, left: number, height: number, width: number, value: Array<number>): void
  /** A change of colour by `factor`: brightness, contrast, saturation, or hue (in turns). */
  adjust(aspect: 'brightness' | 'contrast' | 'saturation' | 'hue', factor: number): void
  /** gain · x ^ gamma on values of 0..1. */
  adjustGamma(gamma: number, gain: number): void
  /** Grey in one channel, or in three. */
  toGrayscale(channels: number): void
  /** Floats 0..1 become bytes; only at the end of a pipeline of floats. */
  toBytes(): void
  /**
   * Images float32 [batch, channel, height, width] of 1 or 3 channels, where they lie: on the CPU by all threads, on a GPU in a
   * number of dispatches that does not grow with the batch, without reading anything back. What is drawn for image i is a function of
   * (seed, epoch, samples[i]) alone.
   */
  augment(images: Tensor, seed: number, epoch: number, samples: Array<number>): AugmentedBatch
}
export type JsPipeline = Pipeline

/**
 * An n-dimensional array. Cloning shares the memory; writing in place is for parameters and buffers only
 * (see [`Tensor::update`]). A tensor belongs to the thread that made it; its storage may travel.
 */
export declare class Tensor {
  /** Indices drawn in proportion to these weights [n] or [lines, n]: int64 [.., count]. */
  multinomial(count: number, replacement: boolean, generator: Generator): Tensor
  /** Sum with a tensor (broadcast) or a number */
  add(other: Tensor | number): Tensor
  /** Difference with a tensor (broadcast) or a number */
  sub(other: Tensor | number): Tensor
  /** Product with a tensor (broadcast) or a number */
  mul(other: Tensor | number): Tensor
  /** Quotient by a tensor (broadcast) or a number; integers divide as float32 */
  div(other: Tensor | number): Tensor
  /** Power with a tensor (broadcast) or a number */
  pow(other: Tensor | number): Tensor
  /** The larger of both; NaN if either is; on a tie each gets half of the gradient */
  maximum(other: Tensor | number): Tensor
  /** The smaller of both; NaN if either is; on a tie each gets half of the gradient */
  minimum(other: Tensor | number): Tensor
  /** Angle of the point (other, this), in radians */
  atan2(other: Tensor | number): Tensor
  /** Truth values: equal */
  eq(other: Tensor | number): Tensor
  /** Truth values: not equal */
  ne(other: Tensor | number): Tensor
  /** Truth values: less */
  lt(other: Tensor | number): Tensor
  /** Truth values: less or equal */
  le(other: Tensor | number): Tensor
  /** Truth values: greater */
  gt(other: Tensor | number): Tensor
  /** Truth values: greater or equal */
  ge(other: Tensor | number): Tensor
  /** Sizes, outermost dimension first. */
  get shape(): Array<number>
  /** Steps in elements from one index to the next, a dimension each. */
  get strides(): Array<number>
  /** The type of the elements. */
  get dtype(): DType
  /** The number of dimensions. */
  get ndim(): number
  /** The number of elements. */
  get numel(): number
  /** Whether `backward` reaches it. */
  get requiresGrad(): boolean
  /** Only float tensors that no operation made can be switched. */
  set requiresGrad(value: boolean)
  /** Whether no recorded operation made it. */
  get isLeaf(): boolean
  /** What `backward` summed up here, or null. */
  get grad(): Tensor | null
  /** Replaces the gradient; null forgets it. */
  setGrad(grad?: Tensor | undefined | null): void
  /** Whether its memory was freed by a scope or by `dispose`. */
  get isDisposed(): boolean
  /**
   * All elements in row-major order, copied: Float32Array (bfloat16 and float16 too, which is exact), Float64Array,
   * BigInt64Array, or Uint8Array (uint8, bool).
   */
  data(): Promise<TypedArray>
  /** The bits of all elements of a bfloat16 or float16 tensor in row-major order, copied. */
  halfBits(): Promise<Uint16Array>
  /** The only element, as a number. ERR_SHAPE if there are several. */
  item(): Promise<number>
  /** Adds the gradients of this tensor, weighted by `gradient` (1 for a scalar), to `.grad` of every leaf it was made of. */
  backward(gradient?: Tensor | undefined | null, options?: BackwardOptions | undefined | null): void
  /** The same values outside the graph; a view. */
  detach(): Tensor
  /** Survives the scopes it is in; returns nothing. Free it with `dispose`, or leave it to the garbage collector. */
  keepAlive(): void
  /** Frees the memory now. Whoever uses it afterwards gets ERR_DISPOSED. */
  dispose(): void
  /**
   * Overwrites the elements in place with those of `source` (broadcast, converted). A graph that needed the old ones
   * will say so.
   */
  copy_(source: Tensor): void
  /**
   * The same values as another type (floats are cut to integers towards zero; bool is "not 0"), or on another device:
   * "cpu", "gpu", "gpu:1". Itself where nothing changes. To the CPU it waits for the device.
   */
  to(target: DType | DeviceName): Tensor
  /** Where its memory lies: "cpu" or "gpu:0". */
  get device(): string
  /**
   * Moves this tensor, and its gradient, to another device in place: whoever holds it sees the new memory.
   * ERR_AUTOGRAD for a tensor that an operation made.
   */
  moveTo_(device: string): void
  /** The same elements in another shape; one size may be -1. A view where the strides allow it. */
  reshape(shape: Array<number>): Tensor
  /** As `reshape`. */
  view(shape: Array<number>): Tensor
  /** The dimensions in another order; a view. */
  permute(dims: Array<number>): Tensor
  /** Dimensions of size 1 (and new leading ones) repeated; -1 keeps a size. A view. */
  expand(shape: Array<number>): Tensor
  /** Sum over dimensions (default: all). */
  sum(dims?: number | Array<number> | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** Mean over dimensions (default: all). */
  mean(dims?: number | Array<number> | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** x · Φ(x); `approximate` "none" (default) or "tanh" (Hendrycks & Gimpel 2016). */
  gelu(approximate?: 'none' | 'tanh'): Tensor
  /** Within [min, max]; either may be null. */
  clamp(min?: number | undefined | null, max?: number | undefined | null): Tensor
  /** x where positive, slope · x (default 0.01) elsewhere. */
  leakyRelu(slope?: number | undefined | null): Tensor
  /** x where positive, alpha · (eˣ − 1) (default 1) elsewhere. */
  elu(alpha?: number | undefined | null): Tensor
  /** ln(1 + e^(beta·x)) / beta (default 1); x itself where beta·x > threshold (default 20). */
  softplus(beta?: number | undefined | null, threshold?: number | undefined | null): Tensor
  /** other − this. */
  rsub(other: number): Tensor
  /** other / this. */
  rdiv(other: number): Tensor
  /**
   * softmax(scale · this · keyᵀ + attnMask) · value, for this [..., L, E], key [..., S, E] and value [..., S, Ev].
   * attnMask: bool (true where a query sees a key) or float (added to the scores), broadcast to [..., L, S];
   * isCausal: query i sees keys 0 to i; scale: 1/√E by default; dropoutP: probability from 0 to below 1 that a weight
   * becomes 0 (the others are divided by 1 − dropoutP), drawn from `generator`. A query that sees no key gets zeros.
   */
  scaledDotProductAttention(key: Tensor, value: Tensor, options?: { attnMask?: Tensor | null, isCausal?: boolean, scale?: number | null, dropoutP?: number, generator?: Generator }): Tensor
  /**
   * (x − mean)/√(variance + eps) · weight + bias for each channel of [B, C] or [B, C, …]; all of shape [C]. In training
   * with the batch's own statistics, of which `momentum` (default 0.1) goes into the running ones; eps defaults to 1e-5.
   */
  batchNorm(runningMean?: Tensor | undefined | null, runningVar?: Tensor | undefined | null, weight?: Tensor | undefined | null, bias?: Tensor | undefined | null, training?: boolean | undefined | null, momentum?: number | undefined | null, eps?: number | undefined | null): Tensor
  /**
   * max(batchNorm + residual, 0) in one operation, bit for bit what the three give; the residual has this shape. The
   * other arguments are those of batchNorm.
   */
  batchNormRelu(residual?: Tensor | undefined | null, runningMean?: Tensor | undefined | null, runningVar?: Tensor | undefined | null, weight?: Tensor | undefined | null, bias?: Tensor | undefined | null, training?: boolean | undefined | null, momentum?: number | undefined | null, eps?: number | undefined | null): Tensor
  /** `value` where the mask (bool or uint8, broadcast) holds. */
  maskedFill(mask: Tensor, value: number): Tensor
  /** The lower triangle of the last two dimensions: 0 above diagonal number `diagonal` (default 0, the main one). */
  tril(diagonal?: number | undefined | null): Tensor
  /** The upper triangle of the last two dimensions: 0 below diagonal number `diagonal` (default 0, the main one). */
  triu(diagonal?: number | undefined | null): Tensor
  /**
   * Cross-correlation of images [B, C, H, W] with filters [out, C / groups, kernel height, kernel width], plus a bias
   * [out]. stride (1), padding (0, or 'same' or 'valid') and dilation (1): a number or [vertical, horizontal].
   */
  conv2d(weight: Tensor, bias?: Tensor | undefined | null, stride?: number | Array<number>, padding?: number | Array<number> | 'same' | 'valid', dilation?: number | Array<number>, groups?: number): Tensor
  /** Cross-correlation of [B, C, L] with filters [out, C / groups, kernel], plus a bias [out]. */
  conv1d(weight: Tensor, bias?: Tensor | undefined | null, stride?: number | undefined | null, padding?: number | undefined | null, dilation?: number | undefined | null, groups?: number | undefined | null): Tensor
  /**
   * The transpose of `conv2d`: [B, C, H, W] with filters [C, out / groups, kernel height, kernel width] gives
   * [B, out, (H − 1)·stride − 2·padding + dilation·(kernel − 1) + outputPadding + 1, …].
   */
  convTranspose2d(weight: Tensor, bias?: Tensor | undefined | null, stride?: Pair | undefined | null, padding?: Pair | undefined | null, outputPadding?: Pair | undefined | null, groups?: number | undefined | null, dilation?: Pair | undefined | null): Tensor
  /**
   * Diagonal number `offset` (default 0, the main one) of dimensions `a` and `b` (default the first two), which
   * become the last one; a view.
   */
  diagonal(offset?: number | undefined | null, a?: number | undefined | null, b?: number | undefined | null): Tensor
  /** Vectors along the last dimension as diagonal number `offset` (default 0) of square matrices, 0 elsewhere. */
  diagEmbed(offset?: number | undefined | null): Tensor
  /** The matrix with this vector as diagonal number `offset` (default 0), or that diagonal of this matrix. */
  diag(offset?: number | undefined | null): Tensor
  /** p-norms (default 2) of aᵢ − bⱼ for vectors [.., n, d] (this) and [.., m, d]: [.., n, m]. */
  cdist(other: Tensor, p?: number | undefined | null): Tensor
  /** −x */
  neg(): Tensor
  /** Absolute value; its derivative at 0 is 0. */
  abs(): Tensor
  /** eˣ */
  exp(): Tensor
  /** eˣ − 1, exact near 0 */
  expm1(): Tensor
  /** Natural logarithm */
  log(): Tensor
  /** ln(1 + x), exact near 0 */
  log1p(): Tensor
  /** Square root */
  sqrt(): Tensor
  /** 1/√x */
  rsqrt(): Tensor
  /** x² */
  square(): Tensor
  /** 1/x */
  reciprocal(): Tensor
  /** −1, 0 or 1; its derivative is 0. */
  sign(): Tensor
  /** Sine (radians) */
  sin(): Tensor
  /** Cosine (radians) */
  cos(): Tensor
  /** Hyperbolic tangent */
  tanh(): Tensor
  /** Gauss' error function */
  erf(): Tensor
  /** Largest integer ≤ x; its derivative is 0. */
  floor(): Tensor
  /** Smallest integer ≥ x; its derivative is 0. */
  ceil(): Tensor
  /** Nearest integer, halves to even; its derivative is 0. */
  round(): Tensor
  /** Rectifier: max(x, 0); its derivative at 0 is 0. */
  relu(): Tensor
  /** Logistic function 1/(1 + e⁻ˣ) */
  sigmoid(): Tensor
  /** ln of the logistic function */
  logSigmoid(): Tensor
  /** x · sigmoid(x) (Elfwing et al. 2017) */
  silu(): Tensor
  /** x · Φ(x) with the exact normal distribution function (Hendrycks & Gimpel 2016) */
  geluExact(): Tensor
  /** x · Φ(x) with Φ approximated by tanh (Hendrycks & Gimpel 2016) */
  geluTanh(): Tensor
  /** The largest element over dimensions (default: all). Elements that tie share the gradient evenly; a NaN wins. */
  amax(dim?: number | Array<number> | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** The smallest element over dimensions (default: all). Elements that tie share the gradient evenly; a NaN wins. */
  amin(dim?: number | Array<number> | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** Where the largest element lies along a dimension (default: in row-major order), int64. */
  argmax(dim?: number | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** Where the smallest element lies along a dimension (default: in row-major order), int64. */
  argmin(dim?: number | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** The largest element; or, along a dimension, `[values, indices]`. A NaN wins. */
  max<D extends number | undefined = undefined>(dim?: D, keepdim?: boolean): D extends number ? [values: Tensor, indices: Tensor] : Tensor
  /** The smallest element; or, along a dimension, `[values, indices]`. A NaN wins. */
  min<D extends number | undefined = undefined>(dim?: D, keepdim?: boolean): D extends number ? [values: Tensor, indices: Tensor] : Tensor
  /** Rows (along `dim`) of those indices (int64 [n]), in that order. */
  indexSelect(dim: number, index: Tensor): Tensor
  /** This with row i of `source` added to row `index[i]`, along `dim`. */
  indexAdd(dim: number, index: Tensor, source: Tensor): Tensor
  /** Rows of this weight [entries, dim] by indices (int64) of any shape: [..index, dim]. */
  embedding(index: Tensor): Tensor
  /** int64 [..this, classes]: 1 at each index, else 0. By default one class more than the largest index. */
  oneHot(classes?: number | undefined | null): Tensor
  /**
   * How often each number occurs among these indices (int64 [n]), or the sum of their weights [n]; as many as the
   * largest index + 1, and at least `minlength`.
   */
  bincount(weights?: Tensor | undefined | null, minlength?: number | undefined | null): Tensor
  /** Indices of the elements that are not 0, in row-major order: int64 [n, dimensions]. */
  nonzero(): Tensor
  /** The elements where the mask holds (both broadcast), in row-major order: [n]. */
  maskedSelect(mask: Tensor): Tensor
  /** Consecutive parts of those sizes along `dim`; views, whose gradients are joined in one go. */
  splitSizes(sizes: Array<number>, dim: number): Array<Tensor>
  /** This joined with itself `times[d]` times along each dimension (new leading dimensions as needed). */
  repeat(times: Array<number>): Tensor
  /** Each element `times` times in a row along `dim`. */
  repeatInterleave(times: number, dim: number): Tensor
  /** The lower triangular L with L·Lᵀ = this, for symmetric positive definite [.., n, n]. */
  cholesky(): Tensor
  /** X with this·X = b (or X·this = b), this triangular. */
  solveTriangular(b: Tensor, options: TriangularOptions): Tensor
  /** The inverse of each matrix [.., n, n]. */
  inv(): Tensor
  /** `[sign, logarithm of the absolute value]` of each determinant. */
  slogdet(): [sign: Tensor, logabsdet: Tensor]
  /**
   * The product of matrices [..., m, k] · [..., k, n] with the leading dimensions broadcast; a vector on the left is a
   * row, one on the right a column.
   */
  matmul(other: Tensor): Tensor
  /** This · weightᵀ + bias: [..., in] with weight [out, in] and bias [out] gives [..., out]. */
  linear(weight: Tensor, bias?: Tensor | undefined | null): Tensor
  /** Two dimensions exchanged; a view. */
  transpose(a: number, b: number): Tensor
  /** The transpose of a matrix; a view. */
  t(): Tensor
  /** `length` elements of dimension `dim` from `start` on, every `step`-th (default 1); a view. */
  narrow(dim: number, start: number, length: number, step?: number | undefined | null): Tensor
  /** One index of a dimension, which goes away; a view. */
  select(dim: number, index: number): Tensor
  /** A new dimension of size 1 before `dim`; a view. */
  unsqueeze(dim: number): Tensor
  /** Without dimension `dim` if its size is 1 (without every dimension of size 1 if none is named); a view. */
  squeeze(dim?: number | undefined | null): Tensor
  /** Dimensions start..=end (default: all) as one. */
  flatten(start?: number | undefined | null, end?: number | undefined | null): Tensor
  /** Row-major in memory: itself if it is, else a copy. */
  contiguous(): Tensor
  /** [batch, channel, height, width] stored with channels innermost: itself if it is, else a copy. */
  channelsLast(): Tensor
  /** A copy with memory of its own; gradients flow through. */
  clone(): Tensor
  /**
   * The k nearest rows of `set` [m, dim] for each row of this [n, dim]: `[squared, indices]`, squared Euclidean
   * distances [n, k] in ascending order and their places [n, k]. All distances are never in memory together.
   */
  nearest(set: Tensor, k: number): [squared: Tensor, indices: Tensor]
  /**
   * The last dimensions (`normalizedShape`) of each sample to mean 0 and variance 1, times weight plus bias of that
   * shape; eps defaults to 1e-5.
   */
  layerNorm(normalizedShape: Array<number>, weight?: Tensor | undefined | null, bias?: Tensor | undefined | null, eps?: number | undefined | null): Tensor
  /** x/√(mean of x² + eps) · weight over the last dimensions (`normalizedShape`); eps defaults to the type's own. */
  rmsNorm(normalizedShape: Array<number>, weight?: Tensor | undefined | null, eps?: number | undefined | null): Tensor
  /**
   * Groups of channels of each sample of [B, C, …] to mean 0 and variance 1, times weight plus bias ([C]); eps defaults
   * to 1e-5.
   */
  groupNorm(numGroups: number, weight?: Tensor | undefined | null, bias?: Tensor | undefined | null, eps?: number | undefined | null): Tensor
  /**
   * Elements added (or, if negative, cut off) around each axis, the last axis first: [left, right, top, bottom, …].
   * What stands there: `value` (default 0), the mirrored inside, the edge, or the other side.
   */
  pad(amounts: Array<number>, mode?: 'constant' | 'reflect' | 'replicate' | 'circular', value?: number | undefined | null): Tensor
  /** These axes in reverse order. */
  flip(dim: number | Array<number>): Tensor
  /** Moved by `shifts` along `dims`, around the end; without `dims` as one long line. */
  roll(shifts: number | Array<number>, dim?: number | Array<number> | undefined | null): Tensor
  /**
   * The largest element of each window of [B, C, H, W]; sizes are numbers or [vertical, horizontal], stride defaults
   * to the kernel's size. A NaN wins.
   */
  maxPool2d(kernelSize: Pair, stride?: Pair | undefined | null, padding?: Pair | undefined | null, dilation?: Pair | undefined | null, ceilMode?: boolean | undefined | null): Tensor
  /** As `maxPool2d`, with the place row · W + column of each maximum in its image (int64). */
  maxPool2dWithIndices(kernelSize: Pair, stride?: Pair | undefined | null, padding?: Pair | undefined | null, dilation?: Pair | undefined | null, ceilMode?: boolean | undefined | null): [values: Tensor, indices: Tensor]
  /**
   * The average of each window of [B, C, H, W]; sizes are numbers or [vertical, horizontal], stride defaults to the
   * kernel's size. Zeros of the padding count unless `countIncludePad` is false.
   */
  avgPool2d(kernelSize: Pair, stride?: Pair | undefined | null, padding?: Pair | undefined | null, ceilMode?: boolean | undefined | null, countIncludePad?: boolean | undefined | null, divisorOverride?: number | undefined | null): Tensor
  /** Averages over parts that divide the image into `outputSize`, a number or [rows, columns]. */
  adaptiveAvgPool2d(outputSize: Pair): Tensor
  /** Maxima over parts that divide the image into `outputSize`, a number or [rows, columns]. */
  adaptiveMaxPool2d(outputSize: Pair): Tensor
  /** [B, C, spatial…] resized: [B, C, new sizes]. */
  interpolate(options: InterpolateOptions): Tensor
  /** Sum of all elements up to each one, along a dimension; integers sum as int64. */
  cumsum(dim: number): Tensor
  /** Product of all elements up to each one, along a dimension; integers multiply as int64. */
  cumprod(dim: number): Tensor
  /** Product over a dimension (default: of everything). */
  prod(dim?: number | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** The element that the index (int64) names along `dim`, at each place of the index. */
  gather(dim: number, index: Tensor): Tensor
  /** This with each element of `source` added at the place that the index (int64, of its shape) names along `dim`. */
  scatterAdd(dim: number, index: Tensor, source: Tensor): Tensor
  /**
   * This with each element of `source` (or this number) at the place that the index (int64) names along `dim`; where
   * an index repeats, the last one wins.
   */
  scatter(dim: number, index: Tensor, source: Tensor | number): Tensor
  /** eˣ / Σ eˣ along a dimension. */
  softmax(dim: number): Tensor
  /** The natural logarithm of softmax along a dimension. */
  logSoftmax(dim: number): Tensor
  /** ln Σ eˣ over dimensions (default: all). */
  logsumexp(dims?: number | Array<number>, keepdim?: boolean | undefined | null): Tensor
  /**
   * Cross-entropy of logits [N, C], [N, C, …] or [C] with class numbers (int64) or probabilities (of the logits'
   * shape). ERR_ARGUMENT for a class that does not exist, ERR_SHAPE where shapes do not fit.
   */
  crossEntropy(target: Tensor, options?: { weight?: Tensor | null, ignoreIndex?: number, reduction?: 'mean' | 'sum' | 'none', labelSmoothing?: number }): Tensor
  /** `[values, indices]` in ascending order along `dim` (default the last), stable; NaN counts as largest. */
  sort(dim?: number | undefined | null, descending?: boolean | undefined | null): [values: Tensor, indices: Tensor]
  /** The indices (int64) that sort along `dim` (default the last), stable; NaN counts as largest. */
  argsort(dim?: number | undefined | null, descending?: boolean | undefined | null): Tensor
  /** `[values, indices]` of the k largest (or smallest) elements along `dim` (default the last), best first. */
  topk(k: number, dim?: number | undefined | null, largest?: boolean | undefined | null): [values: Tensor, indices: Tensor]
  /** Singular values of each matrix [.., m, n], largest first: [.., min(m, n)]. */
  svdvals(): Tensor
  /**
   * `[values, vectors]` of symmetric matrices [.., n, n] (only the lower triangle is read): eigenvalues in
   * ascending order, eigenvectors as columns.
   */
  eigh(): [eigenvalues: Tensor, eigenvectors: Tensor]
  /**
   * `[q, r]` with q·r = this: orthonormal columns [.., m, k] and an upper triangle [.., k, n], k = min(m, n). The
   * diagonal of r is not negative.
   */
  qr(): [q: Tensor, r: Tensor]
  /** Variance over dimensions (default: all): Σ(x − mean)² / (n − correction); correction 1 by default. */
  var(dim?: number | Array<number> | undefined | null, correction?: number | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** Standard deviation over dimensions (default: all), correction 1 by default. Its gradient at 0 is 0. */
  std(dim?: number | Array<number> | undefined | null, correction?: number | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** (Σ|x|ᵖ)^(1/p) over dimensions (default: all); p is 2 by default and may be ±Infinity or 0. */
  norm(p?: number | undefined | null, dim?: number | Array<number> | undefined | null, keepdim?: boolean | undefined | null): Tensor
  /** x / max(p-norm over `dim`, eps); by default p 2, dim 1, eps 1e-12. */
  normalize(p?: number | undefined | null, dim?: number | undefined | null, eps?: number | undefined | null): Tensor
  /** Cosine between vectors along `dim` (default 1) of the broadcast shape; norms are at least eps (default 1e-8). */
  cosineSimilarity(other: Tensor, dim?: number | undefined | null, eps?: number | undefined | null): Tensor
  /** Windows of images [B, C, H, W] as columns [B, C·kernel, windows]. */
  unfold(kernelSize: number | [number, number], options?: UnfoldOptions | undefined | null): Tensor
  /** Columns [B, C·kernel, windows] added up to images [B, C, H, W] of that size. */
  fold(outputSize: number | [number, number], kernelSize: number | [number, number], options?: UnfoldOptions | undefined | null): Tensor
}

/** One step of Adadelta for all parameters. */
export declare function adadeltaStep(parameters: Array<Tensor>, squares: Array<Tensor>, changes: Array<Tensor>, options: SquaresStep): void

/** One step of Adagrad for all parameters. */
export declare function adagradStep(parameters: Array<Tensor>, sums: Array<Tensor>, steps: Array<number>, options: SquaresStep): void

/** One step of Adamax for all parameters. */
export declare function adamaxStep(parameters: Array<Tensor>, means: Array<Tensor>, largest: Array<Tensor>, steps: Array<number>, options: AdamStep): void

/** One step of Adam or AdamW for all parameters; `largest` is empty without AMSGrad. */
export declare function adamStep(parameters: Array<Tensor>, means: Array<Tensor>, squares: Array<Tensor>, largest: Array<Tensor>, steps: Array<number>, options: AdamStep): void

/** Options of the steps of Adam's family. */
export interface AdamStep {
  lr: number
  beta1: number
  beta2: number
  eps: number
  weightDecay: number
  maximize: boolean
  /** Weight decay shrinks the parameter by lr·wd instead of adding to the gradient. */
  decoupled: boolean
}

/** start, start + step, … below end; float32 unless said otherwise. */
export declare function arange(start: number, end: number, step: number, dtype?: DType, device?: DeviceName): Tensor

/** One step of averaged SGD for all parameters, with a rate and an averaging weight each. */
export declare function asgdStep(parameters: Array<Tensor>, means: Array<Tensor>, etas: Array<number>, mus: Array<number>, lambda: number, weightDecay: number, maximize: boolean): void

/** A batch that a pipeline made. */
export interface AugmentedBatch {
  /** float32 [batch, channel, height, width], on the device of what it was made of. */
  images: Tensor
  /** What was drawn, [batch, numbers], one step after the other. */
  record: Float64Array
  /** What the steps record. */
  recorded: Array<RecordedStep>
}

/** How `backward` treats the graph. */
export interface BackwardOptions {
  /** Keep the saved values, for a second backward pass. Default false. */
  retainGraph?: boolean
  /** Record the backward pass, for gradients of gradients. Default false. */
  createGraph?: boolean
}

/** The first image of a batch that could not be made, and why. */
export interface BatchFailure {
  /** Its place in the batch. */
  place: number
  code: string
  message: string
}

/** An image of a batch: the bytes of a file, or (with width, height and channels) pixels from `offset` on, interleaved. */
export interface BatchImage {
  data: Uint8Array | Float32Array
  /** Elements before the first pixel. */
  offset?: number
  width?: number
  height?: number
  channels?: number
}

/** Either `views` or a `failure`. */
export interface BatchViews {
  /** float32 [batch, channel, height, width], a tensor a pipeline; kept: whoever takes them disposes of them. */
  views: Array<Tensor>
  /** What was drawn, [batch, numbers] a pipeline, one step after the other. */
  records: Array<Float64Array>
  /** What the steps of each pipeline record. */
  recorded: Array<Array<RecordedStep>>
  failure?: BatchFailure
}

/** Tensors joined along a dimension that exists (default 0). */
export declare function cat(tensors: Array<Tensor>, dim?: number | undefined | null): Tensor

/** Forgets the gradients of all of these. */
export declare function clearGradients(parameters: Array<Tensor>): void

/** Scales all gradients so that their common 2-norm is at most `limit`; returns the norm before. */
export declare function clipGradNorm(parameters: Array<Tensor>, limit: number): number

/** Limits every element of every gradient to ±`limit`, in place. */
export declare function clipGradValue(parameters: Array<Tensor>, limit: number): void

/** The CPU device as this process sees it. */
export declare function cpuInfo(): CpuInfo

/** What the CPU device is and uses. */
export interface CpuInfo {
  /** The architecture the core was built for, e.g. x86_64. */
  architecture: string
  /** The instruction set in use: avx512, avx2, neon or portable. */
  instructionSet: string
  /** Those this machine can run. */
  available: Array<string>
  /** Whether it multiplies bfloat16 faster than float32: what `precision: bf16-mixed` needs. */
  bfloat16: boolean
  threads: number
  /** The version of the native core. */
  version: string
}

/** What the CPU can do at most, measured, with the threads and the instruction set in use. */
export interface CpuPeak {
  /** Multiplications and additions a second, in float32. */
  float32: number
  /** The same for products of bfloat16; absent where the processor has none. */
  bfloat16?: number
  /** Bytes a second read from and written to memory. */
  bytes: number
}

/** An image as bytes: red, green, blue, interleaved, from the top. */
export interface DecodedImage {
  width: number
  height: number
  data: Uint8Array
}

/** The pixels of a JPEG, PNG, WebP, GIF or BMP file, upright, as RGB. Rejects with a message that begins with ERR_DATA. */
export declare function decodeImage(bytes: Uint8Array): Promise<DecodedImage>

/** target ← c·target + (1 − c)·source for every pair, in place. */
export declare function emaUpdate(targets: Array<Tensor>, sources: Array<Tensor>, coefficient: number): void

/** A PNG file of 1 (grey), 3 (RGB) or 4 (RGBA) channels, 8 bits each, interleaved. */
export declare function encodePng(data: Uint8Array, width: number, height: number, channels: number): Uint8Array

/** Opens a scope and returns its depth, which `exitScope` wants back. Use `scope(…)`, which does both. */
export declare function enterScope(): number

/** Closes the scope of that depth: frees what was made in it, except `results` and what was kept. */
export declare function exitScope(depth: number, results: Array<Tensor>): void

/** Makes later operations use an instruction set of `cpuInfo().available` (tests and benches); null returns to the best. */
export declare function forceInstructionSet(name?: string | undefined | null): void

/**
 * A tensor of the values (copied), on the default device unless one is named. The dtype follows from the array: float32, float64, int64, uint8; a Uint8Array can
 * also be "bool".
 */
export declare function fromData(data: Data, shape: Array<number>, dtype?: DType, device?: DeviceName): Tensor

/** A bfloat16 or float16 tensor of those bits. */
export declare function fromHalfBits(bits: Uint16Array, shape: Array<number>, dtype: 'bfloat16' | 'float16'): Tensor

/** Every element `value`; float32 on the default device unless said otherwise. */
export declare function full(shape: Array<number>, value: number, dtype?: DType, device?: DeviceName): Tensor

/** Where a generator stands. */
export interface GeneratorState {
  seed: bigint
  stream: bigint
  /** Words of 32 bits drawn so far. */
  position: bigint
}

/** What `setAutocast` set. */
export declare function getAutocast(): DType | null

/** The device on which functions such as `zeros` make tensors unless told otherwise. */
export declare function getDefaultDevice(): string

/** Threads that share an operation on the CPU; results do not depend on their number. */
export declare function getNumThreads(): number

/** A GPU that a driver offers. */
export interface GpuAdapter {
  /** What `to` and `device` call it: "gpu:0". */
  device: string
  /** The driver's name for it. */
  name: string
  /** vulkan, metal or dx12. */
  backend: string
  /** discrete, integrated, virtual, other or software. */
  kind: string
  /** Name and version of the driver. */
  driver: string
  /** Whether it runs on the CPU: for tests, slower than the device "cpu". */
  software: boolean
  /** Bytes of one tensor at most. */
  bufferBytes: number
  /** Bytes of one tensor that one kernel may see at once. */
  bindingBytes: number
  /** Tensors a kernel. */
  bindings: number
  /** Bytes that a workgroup shares. */
  workgroupBytes: number
  /** Those of f16, subgroups and timestamps that it has. */
  features: Array<string>
}

/** Every GPU that a Vulkan, Metal or DX12 driver offers, hardware first; empty where there is none. */
export declare function gpuAdapters(): Array<GpuAdapter>

/** Memory and work of a GPU. */
export declare function gpuStatistics(device: DeviceName): GpuStatistics

/** What a GPU holds, and what it has done since it was opened. */
export interface GpuStatistics {
  /** Tensors' buffers in use. */
  liveBuffers: number
  liveBytes: number
  peakBytes: number
  /** Bytes that were freed and wait to be used again. */
  pooledBytes: number
  /** Kernels started. */
  dispatches: number
  /** Command buffers handed to the driver. */
  submissions: number
  /** Kernels compiled. */
  pipelines: number
  uploadedBytes: number
  downloadedBytes: number
  /** Operations that ran on the CPU, their tensors taken there and back; see `operationsOnCpu`. */
  cpuOperations: number
  /** Bytes that kernels and copies could read, and write: of what is bound, each once a dispatch. */
  readBytes: number
  writtenBytes: number
}

/** The 2-norm of all gradients together. */
export declare function gradientNorm(parameters: Array<Tensor>): number

/** Which of these have a gradient. */
export declare function haveGradients(parameters: Array<Tensor>): Array<boolean>

/** [width, height] from the header of a JPEG, PNG, WebP, GIF or BMP file, upright. ERR_DATA where there is none. */
export declare function imageSize(bytes: Uint8Array): Array<number>

/** What an image or a sequence is resized to, and how. */
export interface InterpolateOptions {
  /** The new sizes of the axes behind the channels; one number for all. Either this or `scaleFactor`. */
  size?: number | Array<number>
  /** New size / old, rounded down; one number for all. */
  scaleFactor?: number | Array<number>
  /** Default "nearest". */
  mode?: 'nearest' | 'nearest-exact' | 'area' | 'linear' | 'bilinear' | 'trilinear' | 'bicubic'
  /** Centres of corner pixels on each other. Default false. */
  alignCorners?: boolean
  /** Maps coordinates by new size / old instead of by `scaleFactor` itself. Default false. */
  recomputeScaleFactor?: boolean
  /** A wider filter when it shrinks (bilinear and bicubic). Default false. */
  antialias?: boolean
}

/** Whether operations are recorded for gradients. */
export declare function isGradEnabled(): boolean

/** How long the kernels of an operation ran on a GPU. */
export interface KernelTime {
  name: string
  dispatches: number
  seconds: number
}

/** One step of LARS for all parameters; `momenta` is empty without momentum, `steps` counts from 1. */
export declare function larsStep(parameters: Array<Tensor>, momenta: Array<Tensor>, steps: Array<number>, options: LarsStep): void

/** Options of [`lars_step`]. */
export interface LarsStep {
  lr: number
  momentum: number
  dampening: number
  weightDecay: number
  nesterov: boolean
  /** Trust coefficient. */
  eta: number
  eps: number
  /** Limits the trust ratio to lr. */
  clipLr: boolean
  /** Leaves tensors of one axis alone. */
  excludeBiasNNorm: boolean
}

/** As `clipGradNorm`, without telling the norm: a GPU is not waited for. */
export declare function limitGradNorm(parameters: Array<Tensor>, limit: number): void

/** One step of Lion for all parameters. */
export declare function lionStep(parameters: Array<Tensor>, means: Array<Tensor>, options: AdamStep): void

/** One image that a pipeline made. */
export interface MadeImage {
  /** Bytes, or floats after `toImage`; rows from the top, channels interleaved. */
  data: Uint8Array | Float32Array
  width: number
  height: number
  channels: number
  /** What was drawn, one step after the other. */
  record: Float64Array
  recorded: Array<RecordedStep>
}

/** Either `images` or a `failure`. */
export interface MadeImages {
  images: Array<MadeImage>
  failure?: BatchFailure
}

/** Measures for about a quarter of a second: for benches. */
export declare function measureCpuPeak(): CpuPeak

/** What tensors use, used at most, and what waits in the pool. */
export declare function memory(): MemoryStatistics

/** Native memory, in bytes. */
export interface MemoryStatistics {
  /** Tensors' buffers in use. */
  liveBuffers: number
  /** Bytes in use. */
  liveBytes: number
  /** The most bytes in use at once since the start or `resetPeakMemory`. */
  peakBytes: number
  /** Bytes that were freed and wait to be used again. */
  pooledBytes: number
}

/** One step of NAdam for all parameters; `momenta` holds μ of this step, of the next, and the product up to this one. */
export declare function nadamStep(parameters: Array<Tensor>, means: Array<Tensor>, squares: Array<Tensor>, steps: Array<number>, momenta: Array<Array<number>>, options: AdamStep): void

/** Operations that take tensors of a GPU to the CPU and their results back; `gpuStatistics` counts them. */
export declare function operationsOnCpu(): Array<string>

/** Operations that have no kernel for the GPU: there they are ERR_UNSUPPORTED. */
export declare function operationsWithoutGpu(): Array<string>

/** Panics on purpose: the test that a panic of the core reaches JavaScript as an error with its code. */
export declare function panicForTest(): void

/** All calls of one operation with one set of shapes, in one phase, from one place. */
export interface ProfileEntry {
  /** The operation, such as conv2d. */
  name: string
  phase: 'forward' | 'backward' | 'update'
  /** The outermost operation it ran in, if it is not that itself. */
  within?: string
  /** Of its inputs, such as `64x3x32x32 64x3x3x3`. */
  shapes: string
  calls: number
  /** Without those of operations that ran inside. */
  seconds: number
  /** Multiplications and additions by definition; 0 where the operation does not tell. */
  operations: number
  /** Bytes read and written at least once. */
  bytes: number
}

/** One step of RAdam for all parameters. */
export declare function radamStep(parameters: Array<Tensor>, means: Array<Tensor>, squares: Array<Tensor>, steps: Array<number>, options: AdamStep): void

/** Uniform numbers in [0, 1): the same bits on every device. */
export declare function randFrom(generator: Generator, shape: Array<number>, dtype?: DType, device?: DeviceName): Tensor

/** Whole numbers in [low, high), int64. */
export declare function randintFrom(generator: Generator, low: number, high: number, shape: Array<number>, device?: DeviceName): Tensor

/** Normal numbers with mean 0 and variance 1; on a GPU equal to those of the CPU within 4e-6. */
export declare function randnFrom(generator: Generator, shape: Array<number>, dtype?: DType, device?: DeviceName): Tensor

/** 0..n in a random order, int64 [n]. */
export declare function randpermFrom(generator: Generator, n: number, device?: DeviceName): Tensor

/** What a step records of each image. */
export interface RecordedStep {
  /** By the class of torchvision or stable-pretraining. */
  name: string
  /** Whether the numbers are truth values. */
  flags: boolean
  /** Sizes of what is recorded of an image: none for a single number. Null where nothing is. */
  shape?: Array<number>
}

/** Hands the memory that waits in the pool back to the system. */
export declare function releaseMemory(): void

/** Starts a new measurement of `memory().peakBytes`. */
export declare function resetPeakMemory(): void

/** One step of RMSprop for all parameters; `buffers` is empty without momentum, `means` unless centred. */
export declare function rmspropStep(parameters: Array<Tensor>, squares: Array<Tensor>, buffers: Array<Tensor>, means: Array<Tensor>, options: SquaresStep): void

/** One step of Rprop for all parameters. */
export declare function rpropStep(parameters: Array<Tensor>, previous: Array<Tensor>, sizes: Array<Tensor>, options: RpropStep): void

/** Options of [`rprop`]. */
export interface RpropStep {
  etaMinus: number
  etaPlus: number
  smallestStep: number
  largestStep: number
  maximize: boolean
}

/** Writes there what was compiled last; what is older is written while a run goes on. */
export declare function saveGpuCaches(): void

/** Multiplies all gradients by a number, in place. */
export declare function scaleGradients(parameters: Array<Tensor>, factor: number): void

/**
 * The type in which products of matrices and convolutions take float32 operands from now on, or null for float32; returns
 * what it was before. Use `autocast(…)`, which puts it back.
 */
export declare function setAutocast(dtype?: 'bfloat16' | 'float16' | null): DType | null

/** Sets it for this thread; opens a GPU if need be. Returns the full name, "gpu:0" for "gpu". */
export declare function setDefaultDevice(device: DeviceName): string

/** Where GPUs that are opened from now on keep compiled kernels and which of them ran fastest; nothing is kept without a folder. */
export declare function setGpuCacheFolder(folder?: string | undefined | null): void

/** Switches the recording of operations for gradients; returns what it was before. */
export declare function setGradEnabled(enabled: boolean): boolean

/** Switches times of kernels on or off; false where the adapter has no timestamps. Kernels run one by one meanwhile. */
export declare function setKernelTiming(device: DeviceName, on: boolean): boolean

/** Sets the number of threads of later operations (1 to 256). */
export declare function setNumThreads(threads: number): void

/** Switches the profile by operation on or off; returns what it was. Times are of the CPU device. */
export declare function setProfiling(on: boolean): boolean

/** One step of SGD for all parameters; `momenta` is empty without momentum, `steps` counts from 1. */
export declare function sgdStep(parameters: Array<Tensor>, momenta: Array<Tensor>, steps: Array<number>, options: SgdStep): void

/** Options of [`sgd_step`]. */
export interface SgdStep {
  lr: number
  momentum: number
  dampening: number
  weightDecay: number
  nesterov: boolean
  maximize: boolean
}

/** Options of the steps that divide by sums of squares; those a rule does not name are ignored by it. */
export interface SquaresStep {
  lr: number
  eps: number
  weightDecay: number
  maximize: boolean
  /** Share of the past in the running mean of squares (RMSprop's alpha, Adadelta's rho). */
  decay: number
  /** Adagrad: the rate of step t is lr / (1 + (t − 1)·lr_decay). */
  lrDecay: number
  /** RMSprop. */
  momentum: number
}

/** Tensors of one shape joined along a new dimension (default 0). */
export declare function stack(tensors: Array<Tensor>, dim?: number | undefined | null): Tensor

/** Waits until a device has done everything it was told: for measurements. On the CPU nothing is ever open. */
export declare function synchronize(device: DeviceName): void

/** What kernels took since the last call, by operation, the longest first. Waits for the GPU. */
export declare function takeKernelTimes(device: DeviceName): Array<KernelTime>

/** What was counted since the last call, the longest first. */
export declare function takeProfile(): Array<ProfileEntry>

/**
 * A view of each image by each pipeline, on a thread of its own. What is drawn is a function of (seed, epoch, sample,
 * number of the pipeline) alone; `samples` are the images' numbers in their data set.
 */
export declare function transformBatch(images: Array<BatchImage>, pipelines: Array<Pipeline>, seed: number, epoch: number, samples: Array<number>): Promise<BatchViews>

/**
 * Each image by one pipeline, on a thread of its own, each of whatever size it becomes; bytes stay bytes unless the
 * pipeline makes floats. What is drawn is a function of (seed, epoch, sample, view) alone.
 */
export declare function transformImages(images: Array<BatchImage>, pipeline: Pipeline, seed: number, epoch: number, samples: Array<number>, view: number): Promise<MadeImages>

/** How a triangular system is to be read. */
export interface TriangularOptions {
  /** The upper triangle of A; the other one is ignored. */
  upper: boolean
  /** A·X = B (default) or X·A = B. */
  left?: boolean
  /** The diagonal is taken to be 1. Default false. */
  unitriangular?: boolean
}

/** Which places the windows cover. */
export interface UnfoldOptions {
  /** Default 1. */
  stride?: number | [number, number]
  /** Default 0. */
  padding?: number | [number, number]
  /** Default 1. */
  dilation?: number | [number, number]
}

/** `a` where the condition holds, `b` elsewhere, with broadcasting. */
export declare function where(condition: Tensor, a: Tensor, b: Tensor): Tensor

/** Zeros of the same shape, type and order in memory. */
export declare function zerosLike(tensor: Tensor): Tensor
