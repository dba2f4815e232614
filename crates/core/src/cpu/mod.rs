//! Kernels for CPUs: threads, run-time dispatch, matrix product, convolution. They know no op.

pub mod dispatch;
pub mod elementwise;
pub mod math;
pub mod threads;
