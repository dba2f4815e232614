//! The GPU through wgpu: adapters, memory, recording of commands, compiled kernels. It knows no operation.
//!
//! Work is recorded and submitted in batches; nothing waits except a read. A buffer whose owner is gone is used again by
//! whoever records next: commands run in the order of recording, so its old content has been read by then.

mod adapter;
mod cache;
mod context;
mod faults;
mod memory;
mod pipeline;
mod queue;
#[cfg(test)]
pub(crate) mod tests;
mod timing;
mod tuning;

#[cfg(test)]
pub(crate) use adapter::open_as;
#[cfg(all(test, feature = "noop"))]
pub(crate) use adapter::open_noop;
pub use adapter::{AdapterDescription, adapters, open, save_caches};
pub use cache::set_cache_folder;
pub use context::{Gpu, GpuLimits, GpuStatistics};
pub use memory::{GpuBuffer, Reading};
pub use pipeline::{BINDINGS, PRELUDE, Source};
pub use queue::{Binding, Dispatch, PARAMETERS};
pub use timing::KernelTime;
