//! The border to JavaScript: conversions, switches and statistics. Operations bring their own methods (see `ops`).

mod create;
mod device;
pub(crate) mod generator;
mod image;
mod image_batch;
mod image_file;
mod image_steps;
mod image_tensors;
mod profile;
mod tensor;
mod update;

use crate::cpu::dispatch::{self, Isa};
use crate::cpu::threads;
use crate::dtype::DType;
use crate::error::Error;
use crate::tensor::Tensor;
use crate::{autocast, autograd, scope, storage};
use napi::bindgen_prelude::{ClassInstance, Either};
use napi::{Env, JsError};
use napi_derive::napi;
use std::cell::Cell;

/// An error of the core arrives in JavaScript as an `Error` whose `code` is the stable code.
impl From<Error> for JsError<&'static str> {
    fn from(error: Error) -> Self {
        JsError::from(napi::Error::new(error.code(), error.message().to_string()))
    }
}

pub(crate) type Result<T> = crate::error::Result<T>;

/// An error of N-API itself.
pub(crate) fn border(error: napi::Error) -> Error {
    Error::Internal(format!("N-API: {}", error.reason))
}

/// One dimension or a list of them; none given means all.
pub(crate) fn dims(dims: Option<Either<i64, Vec<i64>>>) -> Option<Vec<i64>> {
    dims.map(|d| match d {
        Either::A(one) => vec![one],
        Either::B(many) => many,
    })
}

thread_local! {
    /// What this thread's V8 was last told about memory outside its heap.
    static REPORTED: Cell<i64> = const { Cell::new(0) };
}

/// Tells V8 how much native memory its handles keep alive, so that its collector knows when to hurry.
pub(crate) fn report_memory(env: &Env) {
    let live = storage::memory_statistics().live_bytes as i64;
    let change = live - REPORTED.get();
    // Small changes are not worth a call.
    if change.abs() > 1 << 20 && env.adjust_external_memory(change).is_ok() {
        REPORTED.set(live);
    }
}

/// Switches the recording of operations for gradients; returns what it was before.
#[napi]
pub fn set_grad_enabled(enabled: bool) -> bool {
    autograd::set_enabled(enabled)
}

/// Whether operations are recorded for gradients.
#[napi]
pub fn is_grad_enabled() -> bool {
    autograd::is_enabled()
}

/// The type in which products of matrices and convolutions take float32 operands from now on, or null for float32; returns
/// what it was before. Use `autocast(…)`, which puts it back.
#[napi(ts_return_type = "DType | null")]
pub fn set_autocast(
    #[napi(ts_arg_type = "'bfloat16' | 'float16' | null")] dtype: Option<String>,
) -> Result<Option<&'static str>> {
    let dtype = dtype.map(|name| DType::parse(&name)).transpose()?;
    Ok(autocast::set(dtype)?.map(DType::name))
}

/// What `setAutocast` set.
#[napi(ts_return_type = "DType | null")]
pub fn get_autocast() -> Option<&'static str> {
    autocast::dtype().map(DType::name)
}

/// Opens a scope and returns its depth, which `exitScope` wants back. Use `scope(…)`, which does both.
#[napi]
pub fn enter_scope() -> u32 {
    scope::enter() as u32
}

/// Closes the scope of that depth: frees what was made in it, except `results` and what was kept.
#[napi]
pub fn exit_scope(env: Env, depth: u32, results: Vec<ClassInstance<Tensor>>) -> Result<()> {
    let results: Vec<Tensor> = results.iter().map(|t| (**t).clone()).collect();
    scope::exit(depth as usize, &results)?;
    report_memory(&env);
    Ok(())
}

/// Native memory, in bytes.
#[napi(object)]
pub struct MemoryStatistics {
    /// Tensors' buffers in use.
    pub live_buffers: f64,
    /// Bytes in use.
    pub live_bytes: f64,
    /// The most bytes in use at once since the start or `resetPeakMemory`.
    pub peak_bytes: f64,
    /// Bytes that were freed and wait to be used again.
    pub pooled_bytes: f64,
}

/// What tensors use, used at most, and what waits in the pool.
#[napi]
pub fn memory() -> MemoryStatistics {
    let statistics = storage::memory_statistics();
    MemoryStatistics {
        live_buffers: statistics.live_buffers as f64,
        live_bytes: statistics.live_bytes as f64,
        peak_bytes: statistics.peak_bytes as f64,
        pooled_bytes: statistics.pooled_bytes as f64,
    }
}

/// Starts a new measurement of `memory().peakBytes`.
#[napi]
pub fn reset_peak_memory() {
    storage::reset_peak();
}

/// Hands the memory that waits in the pool back to the system.
#[napi]
pub fn release_memory() {
    storage::release_pool();
}

/// Threads that share an operation on the CPU; results do not depend on their number.
#[napi]
pub fn get_num_threads() -> u32 {
    threads::num_threads() as u32
}

/// Sets the number of threads of later operations (1 to 256).
#[napi]
pub fn set_num_threads(threads: u32) -> Result<()> {
    crate::ensure!(threads >= 1, Argument, "setNumThreads: {threads} threads; at least 1 is needed");
    threads::set_num_threads(threads as usize);
    Ok(())
}

/// What the CPU device is and uses.
#[napi(object)]
pub struct CpuInfo {
    /// The architecture the core was built for, e.g. x86_64.
    pub architecture: String,
    /// The instruction set in use: avx512, avx2, neon or portable.
    pub instruction_set: String,
    /// Those this machine can run.
    pub available: Vec<String>,
    /// Whether it multiplies bfloat16 faster than float32: what `precision: bf16-mixed` needs.
    pub bfloat16: bool,
    pub threads: u32,
    /// The version of the native core.
    pub version: String,
}

/// The CPU device as this process sees it.
#[napi]
pub fn cpu_info() -> CpuInfo {
    CpuInfo {
        architecture: std::env::consts::ARCH.to_string(),
        instruction_set: dispatch::isa().name().to_string(),
        available: dispatch::available_isas().iter().map(|isa| isa.name().to_string()).collect(),
        bfloat16: dispatch::has_bfloat16(),
        threads: threads::num_threads() as u32,
        version: env!("CARGO_PKG_VERSION").to_string(),
    }
}

/// Makes later operations use an instruction set of `cpuInfo().available` (tests and benches); null returns to the best.
#[napi]
pub fn force_instruction_set(name: Option<String>) -> Result<()> {
    let isa = match &name {
        None => None,
        Some(text) => match Isa::from_name(text) {
            Some(isa) => Some(isa),
            None => {
                crate::bail!(Argument, "\"{text}\" is no instruction set; there are avx512, avx2, neon and portable")
            }
        },
    };
    crate::ensure!(
        dispatch::force_isa(isa),
        Unsupported,
        "this machine cannot run {}; it has {}",
        name.unwrap_or_default(),
        cpu_info().available.join(", ")
    );
    Ok(())
}

/// Panics on purpose: the test that a panic of the core reaches JavaScript as an error with its code.
#[napi]
pub fn panic_for_test() -> Result<()> {
    crate::op::guard("panicForTest", || panic!("on purpose"))
}
