//! The operations: one family a file. An elementwise operation is one row in `elementwise`; one with its own kernel
//! is one file. Each checks its inputs in `forward`, and brings its gradient and the cases that test it.

pub mod attention;
pub mod batch_norm;
pub mod choose;
pub mod conv;
mod conv_product;
pub mod diagonal;
pub mod distance;
pub mod elementwise;
pub mod extreme;
pub mod index;
pub mod join;
pub mod linalg;
pub(crate) mod lines;
pub mod matmul;
pub mod movement;
pub mod norm;
pub mod pad;
pub mod pool;
pub mod random;
pub mod reduce;
pub mod resample;
pub mod scan;
pub mod scatter;
pub mod softmax;
pub mod sort;
pub mod spectral;
pub mod statistics;
pub mod unfold;
pub mod update;

#[cfg(test)]
pub mod suite;
