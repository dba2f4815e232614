//! Kernels for CPUs: threads, run-time dispatch, matrix product, convolution. They know no op.

pub mod attention;
#[cfg(test)]
mod cases;
pub mod conv;
pub mod decompose;
mod depthwise;
pub mod dispatch;
pub mod elementwise;
pub mod gemm;
mod implicit;
pub mod math;
pub mod norm;
pub mod pool;
mod scratch;
pub mod threads;
mod tile;
mod transpose;
mod vector;
mod winograd;
