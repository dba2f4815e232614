//! The profile by operation at the border, and what the machine could do at most.

use crate::cpu::peak;
use crate::profile;
use napi_derive::napi;

/// All calls of one operation with one set of shapes, in one phase, from one place.
#[napi(object)]
pub struct ProfileEntry {
    /// The operation, such as conv2d.
    pub name: String,
    #[napi(ts_type = "'forward' | 'backward' | 'update'")]
    pub phase: String,
    /// The outermost operation it ran in, if it is not that itself.
    pub within: Option<String>,
    /// Of its inputs, such as `64x3x32x32 64x3x3x3`.
    pub shapes: String,
    pub calls: f64,
    /// Without those of operations that ran inside.
    pub seconds: f64,
    /// Multiplications and additions by definition; 0 where the operation does not tell.
    pub operations: f64,
    /// Bytes read and written at least once.
    pub bytes: f64,
}

/// Switches the profile by operation on or off; returns what it was. Times are of the CPU device.
#[napi]
pub fn set_profiling(on: bool) -> bool {
    profile::set_on(on)
}

/// What was counted since the last call, the longest first.
#[napi]
pub fn take_profile() -> Vec<ProfileEntry> {
    let entry = |(key, counts): (profile::Key, profile::Counts)| ProfileEntry {
        name: key.name.to_string(),
        phase: key.phase.name().to_string(),
        within: key.within.map(str::to_string),
        shapes: key.shapes,
        calls: counts.calls as f64,
        seconds: counts.seconds,
        operations: counts.operations as f64,
        bytes: counts.bytes as f64,
    };
    profile::take().into_iter().map(entry).collect()
}

/// What the CPU can do at most, measured, with the threads and the instruction set in use.
#[napi(object)]
pub struct CpuPeak {
    /// Multiplications and additions a second, in float32.
    pub float32: f64,
    /// The same for products of bfloat16; absent where the processor has none.
    pub bfloat16: Option<f64>,
    /// Bytes a second read from and written to memory.
    pub bytes: f64,
}

/// Measures for about a quarter of a second: for benches.
#[napi]
pub fn measure_cpu_peak() -> CpuPeak {
    let peak = peak::measure();
    CpuPeak { float32: peak.float32, bfloat16: peak.bfloat16, bytes: peak.bytes }
}
