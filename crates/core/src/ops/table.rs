//! Which operations there are, and which of them have a path for the GPU: read from the sources when the core is built.

include!(concat!(env!("OUT_DIR"), "/operations.rs"));

/// An operation of a file of this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub name: &'static str,
    pub file: &'static str,
    /// Whether its `impl Op` (or its kernel given to `op::once`) has a path for the GPU.
    pub gpu: bool,
    /// Whether it takes tensors of a GPU to the CPU and back.
    pub on_cpu: bool,
}

/// What else takes tensors of a GPU to the CPU and back: the shapes of these results depend on values.
const FUNCTIONS_ON_CPU: [&str; 5] =
    ["bincount", "maskedSelect", "multinomial", "nonzero", "oneHot (classes not given)"];

/// Names, each once, of what the GPU refuses.
pub fn without_gpu() -> Vec<&'static str> {
    names(OPERATIONS.iter().filter(|entry| !entry.gpu && !entry.on_cpu).map(|entry| entry.name).collect())
}

/// Names, each once, of what takes tensors of a GPU to the CPU and back.
pub fn on_cpu() -> Vec<&'static str> {
    let operations = OPERATIONS.iter().filter(|entry| entry.on_cpu).map(|entry| entry.name);
    names(operations.chain(FUNCTIONS_ON_CPU).collect())
}

fn names(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}
