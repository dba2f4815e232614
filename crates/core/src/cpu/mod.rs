//! Kernels for CPUs: threads, run-time dispatch, matrix product, convolution. They know no op.

pub mod attention;
#[cfg(test)]
mod cases;
pub mod conv;
pub mod conv_bf16;
pub mod decompose;
mod depthwise;
pub mod dispatch;
pub mod elementwise;
pub mod gemm;
#[cfg(target_arch = "x86_64")]
mod gemm_avx512_bf16;
pub mod gemm_bf16;
pub mod half;
mod implicit;
#[cfg(target_arch = "x86_64")]
mod implicit_avx512_bf16;
pub mod math;
pub mod nearest;
pub mod norm;
pub mod peak;
pub mod pool;
mod scratch;
pub mod threads;
mod tile;
mod transpose;
mod vector;
mod winograd;
