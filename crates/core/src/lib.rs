//! Tensors, autograd and kernels of `stable-pretraining` for TypeScript.

pub mod cpu;
pub mod dtype;
pub mod error;
pub mod image;
pub mod random;
pub mod shape;
pub mod storage;
