//! Tensors, autograd and kernels of `stable-pretraining` for TypeScript.
//!
//! Read it in this order: [`tensor`] (a layout over shared storage), [`op`] (how an operation runs), [`autograd`]
//! (the way back), [`ops`] (the operations themselves), [`profile`] (where time goes). [`cpu`] and `gpu` hold kernels that know no operation, [`image`] works
//! on bytes, `node` is the border to JavaScript. Nothing here reads a file or the environment.

pub mod autocast;
pub mod autograd;
pub mod cpu;
pub mod device;
pub mod dtype;
pub mod error;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod half;
pub mod image;
#[cfg(feature = "node")]
pub mod node;
pub mod op;
pub mod ops;
pub mod profile;
pub mod random;
pub mod scope;
pub mod shape;
pub mod storage;
pub mod tensor;
