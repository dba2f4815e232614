//! The profile by operation at the border.

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
