//! Tensors, autograd and kernels of `stable-pretraining` for TypeScript.

pub mod cpu;
pub mod image;
pub mod random;
