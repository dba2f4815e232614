/** Methods at sizes at which they are tried in seconds. */
import type { ConformanceOptions } from 'stable-pretraining/testing'

/** Heads of a size for a few images. */
const smallHead = { projector_hidden_dim: 32, projector_bottleneck_dim: 16, n_prototypes: 32, ema_decay_start: 0.9 }

export const smallMethods: Record<string, ConformanceOptions> = {
  'method dino': { config: { ...smallHead, freeze_last_layer: 0 } },
  'method ibot': { config: { ...smallHead, n_patch_prototypes: 32, freeze_last_layer: 0 } },
  'method dinov2': { config: { ...smallHead, n_patch_prototypes: 32, freeze_last_layer: 0 } },
  'method msn': { config: smallHead },
  'method swav': { config: { projector_dims: [32, 16], n_prototypes: 16, queue_length: 48, start_queue_at_epoch: 0 } },
  'method mae': { config: { decoder_embed_dim: 32, decoder_depth: 1, decoder_num_heads: 2 } },
  'method ijepa': { config: { predictor_embed_dim: 32, predictor_depth: 1, ema_decay_start: 0.9 } },
  'method data2vec': { config: { ema_decay_start: 0.9, ema_decay_end: 0.99 } },
  'method byol': { config: { projector_dims: [64, 32], predictor_dims: [64, 32] } },
  'method barlow-twins': { config: { projector_dims: [64, 32] } },
  'method vicreg': { config: { projector_dims: [64, 32] } },
  'method vicregl': { config: { projector_dim: 32 } },
  'method simsiam': { config: { projector_dim: 32, predictor_hidden_dim: 16 } },
  // Its loss rises while the queue fills: here in one batch.
  'method moco-v2': { config: { projector_dims: [64, 32], queue_length: 16, ema_decay_start: 0.9 } },
  'method moco-v3': { config: { projector_dims: [64, 32], predictor_hidden_dim: 64, ema_decay_start: 0.9 } },
  'method nnclr': { config: { projector_dims: [64, 32], predictor_hidden_dim: 64, queue_length: 64 } },
  'method tico': { config: { projector_dims: [64, 32] } },
  'method w-mse': { config: { projector_dims: [64, 8] } },
  'method lejepa': { config: { embed_dim: 32, projector_dims: [64, 32], n_slices: 64 } },
  'method visreg': { config: { embed_dim: 32, projector_dims: [64, 32], num_projections: 32 } },
  'method module': {
    config: {
      forward: 'stable_pretraining.forward.simclr_forward',
      parts: { projector: { type: 'projector', dims: [32, 64, 32] }, simclr_loss: 'NTXEntLoss' },
    },
  },
  'method simclr': { config: { projector_dims: [64, 32] } },
}
