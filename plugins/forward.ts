/**
 * The methods' forwards without state, for people who compose a `Module` themselves:
 * `new Module({ forward: forward.simclr, backbone, projector, simclrLoss })`. Each finds on `this` what its file names;
 * the names of the PyTorch library, with `_forward` or without, mean the same functions.
 */
import { barlowTwins } from './methods/barlow-twins.js'
import { byol } from './methods/byol.js'
import { dino } from './methods/dino.js'
import { dinov2 } from './methods/dinov2.js'
import { lejepa } from './methods/lejepa.js'
import { mocoV2 } from './methods/moco-v2.js'
import { mocoV3 } from './methods/moco-v3.js'
import { nnclr } from './methods/nnclr.js'
import { simclr } from './methods/simclr.js'
import { simsiam } from './methods/simsiam.js'
import { supervised } from './methods/supervised.js'
import { swav } from './methods/swav.js'
import { tico } from './methods/tico.js'
import { vicreg } from './methods/vicreg.js'
import { vicregl } from './methods/vicregl.js'
import { visreg } from './methods/visreg.js'
import { wmse } from './methods/w-mse.js'

export const forward = {
  barlowTwins,
  byol,
  dino,
  dinov2,
  lejepa,
  mocoV2,
  mocoV3,
  nnclr,
  simclr,
  simsiam,
  supervised,
  swav,
  tico,
  vicreg,
  vicregl,
  visreg,
  wmse,
  barlow_twins: barlowTwins,
  barlow_twins_forward: barlowTwins,
  byol_forward: byol,
  dino_forward: dino,
  dinov2_forward: dinov2,
  nnclr_forward: nnclr,
  simclr_forward: simclr,
  supervised_forward: supervised,
  swav_forward: swav,
  vicreg_forward: vicreg,
} as const
