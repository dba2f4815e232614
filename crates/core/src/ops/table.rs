//! Which operations there are, and which of them have a path for the GPU: read from the sources when the core is built.

include!(concat!(env!("OUT_DIR"), "/operations.rs"));

/// An operation of a file of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub file: &'static str,
    /// Whether its `impl Op` (or its kernel given to `op::once`) has a path for the GPU.
    pub gpu: bool,
}

/// Names, each once, of what the GPU refuses.
pub fn without_gpu() -> Vec<&'static str> {
    let mut names: Vec<&str> = OPERATIONS.iter().filter(|entry| !entry.gpu).map(|entry| entry.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}
