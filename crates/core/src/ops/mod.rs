//! The operations: one family a file. An elementwise operation is one row in `elementwise`; one with its own kernel
//! is one file. Each checks its inputs in `forward`, and brings its gradient and the cases that test it.

pub mod attention;
#[cfg(feature = "gpu")]
pub(crate) mod attention_gpu;
pub mod augment;
#[cfg(feature = "gpu")]
pub(crate) mod augment_gpu;
#[cfg(feature = "gpu")]
pub(crate) mod augment_launch_gpu;
#[cfg(feature = "gpu")]
pub(crate) mod augment_wgsl;
#[cfg(feature = "gpu")]
pub(crate) mod axes_gpu;
pub mod batch_norm;
#[cfg(feature = "gpu")]
pub(crate) mod batch_norm_gpu;
#[cfg(feature = "gpu")]
mod channel_sums_gpu;
pub mod choose;
pub mod conv;
#[cfg(feature = "gpu")]
pub(crate) mod conv_gpu;
mod conv_product;
pub mod diagonal;
pub mod distance;
#[cfg(feature = "gpu")]
pub(crate) mod distance_gpu;
pub mod elementwise;
mod elementwise_bf16;
#[cfg(feature = "gpu")]
pub(crate) mod elementwise_gpu;
pub mod extreme;
mod half;
pub mod index;
pub mod join;
#[cfg(feature = "gpu")]
pub(crate) mod kernel;
pub mod linalg;
pub(crate) mod lines;
#[cfg(feature = "gpu")]
pub(crate) mod many_gpu;
pub mod matmul;
#[cfg(feature = "gpu")]
pub(crate) mod matmul_gpu;
pub mod movement;
#[cfg(feature = "gpu")]
pub(crate) mod movement_gpu;
pub mod nearest;
pub mod norm;
#[cfg(feature = "gpu")]
pub(crate) mod norm_gpu;
pub mod pad;
pub mod pool;
#[cfg(feature = "gpu")]
pub(crate) mod pool_gpu;
#[cfg(feature = "gpu")]
pub(crate) mod product_gpu;
pub mod random;
#[cfg(feature = "gpu")]
pub(crate) mod random_gpu;
pub mod reduce;
#[cfg(feature = "gpu")]
pub(crate) mod reduce_gpu;
pub mod resample;
pub mod scan;
#[cfg(feature = "gpu")]
pub(crate) mod scan_gpu;
pub mod scatter;
#[cfg(feature = "gpu")]
pub(crate) mod scatter_gpu;
pub mod softmax;
#[cfg(feature = "gpu")]
pub(crate) mod softmax_gpu;
pub mod sort;
#[cfg(feature = "gpu")]
pub(crate) mod sort_gpu;
pub mod spectral;
pub mod statistics;
pub mod table;
pub mod transfer;
pub mod unfold;
#[cfg(feature = "gpu")]
pub(crate) mod unfold_gpu;
pub mod update;
#[cfg(feature = "gpu")]
pub(crate) mod update_gpu;
#[cfg(feature = "gpu")]
pub(crate) mod winograd_gpu;

#[cfg(test)]
pub mod suite;
