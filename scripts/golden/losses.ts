/** How to call each loss of the reference vectors, with the state that some of them keep over calls. */
import * as L from '../../src/losses/index.js'
import { BatchNorm1d, Linear, Sequential } from '../../src/nn/index.js'
import { noGrad, type Tensor } from '../../src/tensor/index.js'
import { TeacherStudentWrapper } from '../../src/train/index.js'
import { at, type Call, camelOptions, first, type Handler, Missing, type Table } from './table.js'

const library = L as unknown as Record<string, unknown>

/** Builds the class of that name with the attributes as options, and calls it on the inputs. */
const layer =
  (name: string): Handler =>
  ({ inputs, attrs }) => {
    const { note, queue, ...options } = attrs
    const built = library[name] as (new (options: object) => { forward(...inputs: Tensor[]): Tensor }) | undefined
    if (!built) throw new Missing(`there is no ${name} yet`)
    return new built(camelOptions(options)).forward(...inputs)
  }

/** A function of the library, which may not exist in this build. */
function named<F extends (...values: never[]) => unknown>(name: string): F {
  const found = library[name]
  if (typeof found !== 'function') throw new Missing(`there is no ${name} yet`)
  return found as F
}

const number = ({ attrs }: Call, name: string): number => Number(attrs[name])

/** Views that come as a1, b1, a2, b2, …: one pair a call. */
function pairsOf({ inputs }: Call): Array<[Tensor, Tensor]> {
  return Array.from({ length: inputs.length / 2 }, (_, call) => [at(inputs, 2 * call), at(inputs, 2 * call + 1)])
}

export const losses: Table = {
  BarlowTwinsLoss: layer('BarlowTwinsLoss'),
  BYOLLoss: layer('BYOLLoss'),
  NegativeCosineSimilarity: layer('NegativeCosineSimilarity'),
  NTXEntLoss: layer('NTXEntLoss'),
  CLIPLoss: layer('CLIPLoss'),
  VCRegLoss: layer('VCRegLoss'),
  MAELoss: layer('MAELoss'),
  DINOv1Loss: layer('DINOv1Loss'),
  DINOv2Loss: layer('DINOv2Loss'),
  'lejepa.EppsPulley': layer('EppsPulley'),
  'visreg.VISRegLoss': layer('VISRegLoss'),

  VICRegLoss: (call) => {
    const loss = new L.VICRegLoss(camelOptions(call.attrs))
    const [a, b] = [first(call), at(call.inputs, 1)]
    const { simCoeff, stdCoeff, covCoeff } = loss.options
    const terms = loss.terms(a, b)
    return {
      loss: loss.forward(a, b),
      invariance: terms.invariance?.div(simCoeff),
      variance_i: terms.varianceFirst?.div(stdCoeff),
      variance_j: terms.varianceSecond?.div(stdCoeff),
      covariance_i: terms.covarianceFirst?.div(covCoeff),
      covariance_j: terms.covarianceSecond?.div(covCoeff),
    }
  },
  InfoNCELoss: ({ inputs, named: { mask }, attrs }) =>
    L.infoNce(at(inputs, 0), at(inputs, 1), at(inputs, 2), { temperature: Number(attrs.temperature), mask }),
  'mocov3._info_nce': (call) =>
    L.mocoV3Loss(first(call), at(call.inputs, 1), { temperature: number(call, 'temperature') }),
  'simsiam._neg_cos_sim': ({ inputs }) =>
    new L.NegativeCosineSimilarity().forward(at(inputs, 0), at(inputs, 1).detach()),
  off_diagonal: (call) => L.offDiagonal(first(call)),
  cross_entropy_loss: ({ inputs, attrs }) => {
    // Both sides are logits: the target's softmax is taken here, with the student's temperature for the other one.
    return L.softCrossEntropy(at(inputs, 0), at(inputs, 1), Number(attrs.temp))
  },
  sinkhorn_knopp: (call) => {
    const options = { temperature: number(call, 'teacher_temp'), iterations: number(call, 'n_iterations') }
    return L.sinkhornKnopp(first(call), options)
  },
  'SwAVLoss.sinkhorn': (call) =>
    L.sinkhornKnopp(first(call), {
      temperature: number(call, 'epsilon'),
      iterations: number(call, 'sinkhorn_iterations'),
    }),
  SwAVLoss: ({ named: tensors, attrs }) => {
    const { z_i: a, z_j: b, weight, queue } = tensors as Record<string, Tensor>
    const loss = new L.SwAVLoss(camelOptions(attrs) as L.SwAVOptions)
    const prototypes = (weight as Tensor).clone()
    const value = loss.forward(a as Tensor, b as Tensor, prototypes, queue)
    const scores = [a, b].map((z) => (z as Tensor).detach().normalize().matmul(prototypes.t())) as [Tensor, Tensor]
    return { loss: value, codes: loss.allCodes(scores, prototypes, queue), weight_out: prototypes }
  },
  'SwAVLoss.prototypes': ({ named: tensors, attrs }) => {
    const { z_i: a, z_j: b, weight, queue } = tensors as Record<string, Tensor>
    return new L.SwAVLoss(camelOptions(attrs) as L.SwAVOptions).forward(
      a as Tensor,
      b as Tensor,
      weight as Tensor,
      queue,
    )
  },
  SwAV: ({ named: tensors, attrs }) => {
    const views = (kind: string) =>
      Object.keys(tensors).flatMap((name) => (name.startsWith(kind) ? [tensors[name] as Tensor] : []))
    const prototypes = (tensors.weight as Tensor).clone()
    L.normaliseRows(prototypes)
    return L.swavMultiCrop(views('global'), views('local'), prototypes, camelOptions(attrs) as L.SwAVOptions)
  },
  'DINOv1Loss.center': (call) => {
    const { attrs, named: tensors } = call
    const loss = new L.DINOv1Loss(camelOptions(attrs))
    const results: Record<string, Tensor> = {}
    for (let j = 1; j <= 3; j += 1) {
      const teacher = tensors[`teacher${j}`] as Tensor
      const probabilities = loss.softmaxCenterTeacher(teacher, Number(attrs.teacher_temp))
      if (loss.center && j > 1) results[`center${j}`] = loss.center.clone()
      results[`probs${j}`] = probabilities
      results[`loss${j}`] = loss.forward((tensors.student as Tensor).mul(j), probabilities)
      loss.updateCenter(teacher)
    }
    loss.applyCenterUpdate()
    results.center_final = (loss.center as Tensor).clone()
    return results
  },
  'DINOv1Loss.sinkhorn': ({ named: tensors, attrs }) => {
    const loss = new L.DINOv1Loss(camelOptions(attrs))
    const options = { iterations: Number(attrs.n_iterations) }
    const probs = loss.sinkhornKnoppTeacher(tensors.teacher as Tensor, Number(attrs.teacher_temp), options)
    return { probs, loss: loss.forward(tensors.student as Tensor, probs) }
  },
  iBOTPatchLoss: ({ named: tensors, attrs }) => {
    const loss = new L.iBOTPatchLoss(camelOptions(attrs))
    const options = { iterations: Number(attrs.n_iterations) }
    const probs = loss.sinkhornKnoppTeacher(tensors.teacher as Tensor, Number(attrs.teacher_temp), options)
    return { probs, loss: loss.forward(tensors.student as Tensor, probs) }
  },
  'dinov3._koleo_loss': (call) => new L.KoLeoLoss().forward(first(call)),
  msn: ({ inputs, attrs }) => {
    const { loss, crossEntropy, meMax } = L.msnLoss(at(inputs, 0), at(inputs, 1), camelOptions(attrs))
    return { loss, ce: crossEntropy, me_max: meMax }
  },
  'pmsn.PMSN._prior_kl': (call) => {
    const logits = first(call)
    const prior = L.prototypePrior(call.attrs.prior as 'uniform', logits.shape[1] ?? 0, number(call, 'tau'))
    return { kl: L.priorDivergence(logits, prior, number(call, 'temperature_student')), prior }
  },

  mae: ({ inputs, attrs }) =>
    L.mae(at(inputs, 0), at(inputs, 1), at(inputs, 2), { normPixLoss: attrs.norm_pix_loss === true }),
  simmim: ({ inputs }) => L.simMimLoss(at(inputs, 0), at(inputs, 1), at(inputs, 2)),
  data2vec: (call) => {
    const [prediction, target, mask] = [first(call), at(call.inputs, 1), at(call.inputs, 2)]
    return L.data2vecLoss(prediction, target, mask, { beta: number(call, 'beta') })
  },
  nepa: ({ inputs }) => L.nextEmbeddingLoss(at(inputs, 0), at(inputs, 1)),
  patchify: ({ inputs, attrs }) => {
    const patches = L.patchify(at(inputs, 0), attrs.patch_size as number[])
    return [patches, L.unpatchify(patches, attrs.patch_size as number[], attrs.grid_size as number[])]
  },
  'maskfeat._hog_per_patch': (call) =>
    L.hogPerPatch(first(call), { patchSize: number(call, 'patch_size'), bins: number(call, 'n_bins') }),
  'lejepa.LeJEPA._compute_loss': (call) => {
    const { t_max: tMax, n_points: nPoints, n_global: nGlobal, lamb } = call.attrs as Record<string, number>
    const test = new L.EppsPulley({ tMax: tMax ?? 0, nPoints: nPoints ?? 0 })
    return { ...L.leJepaLoss(first(call), at(call.inputs, 1), { nGlobal: nGlobal ?? 0, lamb: lamb ?? 0, test }) }
  },
  'vicregl.local': ({ inputs, attrs }) =>
    named<(a: Tensor, b: Tensor, options: object) => Tensor>('localVicReg')(
      at(inputs, 0),
      at(inputs, 1),
      camelOptions(attrs),
    ),
  'wmse._eigen_whiten': (call) => L.eigenWhiten(first(call), { eps: number(call, 'eps') }),
  WMSE: (call) => L.whitenedMse(first(call), at(call.inputs, 1), { eps: number(call, 'eps') }),

  TiCO: (call) => {
    const { attrs } = call
    const loss = new L.TiCoLoss(first(call).shape[1] ?? 0, camelOptions(attrs))
    return Object.assign(
      {},
      ...pairsOf(call).map(([a, b], index) => ({
        [`loss${index + 1}`]: loss.forward(a, b),
        [`C${index + 1}`]: loss.covariance.clone(),
      })),
    )
  },
  MoCov2: (call) => {
    const loss = new L.MoCoLoss(camelOptions(call.attrs))
    return Object.assign(
      {},
      ...pairsOf(call).map(([query, key], index) => ({
        [`loss${index + 1}`]: loss.forward(query, key),
        [`queue${index + 1}`]: loss.queue.rows(),
      })),
    )
  },
  NNCLR: (call) => {
    const loss = new L.NNCLRLoss(camelOptions(call.attrs))
    return Object.assign(
      {},
      ...pairsOf(call).map(([a, b], index) => ({
        [`loss${index + 1}`]: loss.forward(a, b, a, b),
        [`queue${index + 1}`]: loss.queue.rows(),
      })),
    )
  },
  'nnclr._nearest_neighbour': ({ inputs }) => L.nearestNeighbour(at(inputs, 0), at(inputs, 1)),
  OrderedQueue: queue,
  UnsortedQueue: queue,
  'TeacherStudentWrapper.update_teacher': teacher,
}

/** What a queue of a fixed length holds after each append. */
function queue({ op, inputs, attrs }: Call): Tensor[] {
  const rows = new L.RowQueue(Number(attrs.max_length), { order: op === 'OrderedQueue' ? 'fifo' : 'ring' })
  return inputs.map((batch) => rows.append(batch))
}

/** A linear layer with batch norm and its teacher: the coefficient and all entries after each epoch's update. */
async function teacher({ named: tensors, attrs }: Call): Promise<Record<string, unknown>> {
  const [outFeatures = 0, inFeatures = 0] = tensors.weight?.shape ?? []
  const student = new Sequential(new Linear(inFeatures, outFeatures), new BatchNorm1d(outFeatures))
  const keys = { weight: '0.weight', bias: '0.bias', running_mean: '1.running_mean', running_var: '1.running_var' }
  const set = (key: string, value: Tensor) => noGrad(() => student.stateDict().get(key)?.copy_(value))
  for (const [name, key] of Object.entries(keys)) set(key, tensors[name] as Tensor)
  noGrad(() => student.stateDict().get('1.num_batches_tracked')?.fill_(5))
  const { base = 0, final = 0, total_epochs: totalEpochs = 0 } = attrs as Record<string, number>
  const pair = new TeacherStudentWrapper(student, { baseEmaCoefficient: base, finalEmaCoefficient: final })
  const fresh = { weight_new: keys.weight, bias_new: keys.bias, mean_new: keys.running_mean, var_new: keys.running_var }
  for (const [name, key] of Object.entries(fresh)) set(key, tensors[name] as Tensor)
  const results: Record<string, unknown> = {}
  for (let epoch = 0; epoch < 3; epoch += 1) {
    await pair.updateEmaCoefficient(epoch, totalEpochs)
    await pair.updateTeacher()
    results[`coefficient${epoch}`] = await pair.emaCoefficient.item()
    for (const [name, key] of Object.entries({ ...keys, num_batches_tracked: '1.num_batches_tracked' })) {
      results[`${name}${epoch}`] = pair.teacher.stateDict().get(key)?.detach().clone()
    }
  }
  return results
}
