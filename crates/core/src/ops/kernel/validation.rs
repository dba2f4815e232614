//! Every kernel that a test launches is also parsed and validated by naga, with the capabilities that WebGPU guarantees and
//! subgroups, which kernels use where an adapter has them.

use crate::gpu::PRELUDE;
use std::collections::HashSet;
use std::sync::Mutex;

static SEEN: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// Panics with the place in the text if a kernel is not valid WGSL.
pub fn record(key: &str, wgsl: &dyn Fn() -> String) {
    let mut seen = SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if seen.get_or_insert_default().insert(key.to_string()) {
        drop(seen);
        check(key, &wgsl());
    }
}

/// Kernels seen so far.
#[cfg(feature = "noop")]
pub fn count() -> usize {
    SEEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).as_ref().map_or(0, HashSet::len)
}

/// Validates a text with the prelude before it, and behind it the entry of kernels that have none.
pub fn check(key: &str, wgsl: &str) {
    let entry = if wgsl.contains("fn main(") { String::new() } else { super::entry() };
    let text = format!("{PRELUDE}\n{wgsl}{entry}");
    let numbered = || text.lines().zip(1..).map(|(line, n)| format!("{n:4} {line}\n")).collect::<String>();
    let module = naga::front::wgsl::parse_str(&text)
        .unwrap_or_else(|error| panic!("kernel {key}: {}\n{}", error.emit_to_string(&text), numbered()));
    use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
    // Reading float16 from words is in WebGPU; wgpu knows of devices that are less than that.
    Validator::new(ValidationFlags::all(), Capabilities::SUBGROUP | Capabilities::SHADER_FLOAT16_IN_FLOAT32)
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("kernel {key}: {}\n{}", error.emit_to_string(&text), numbered()));
}
