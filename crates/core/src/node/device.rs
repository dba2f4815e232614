//! Devices in JavaScript: which there are, which one new tensors are made on, what a GPU uses, and reading from it.

use super::Result;
use crate::device::Device;
#[cfg(feature = "gpu")]
use crate::dtype::DType;
#[cfg(feature = "gpu")]
use crate::error::Error;
#[cfg(feature = "gpu")]
use crate::ops::{movement, transfer};
#[cfg(feature = "gpu")]
use crate::tensor::Tensor;
#[cfg(feature = "gpu")]
use napi::bindgen_prelude::{BigInt64Array, Either4, Float32Array, PromiseRaw, Uint8Array};
#[cfg(feature = "gpu")]
use napi::{Env, JsError, Task};
use napi_derive::napi;

/// A GPU that a driver offers.
#[napi(object)]
pub struct GpuAdapter {
    /// What `to` and `device` call it: "gpu:0".
    pub device: String,
    /// The driver's name for it.
    pub name: String,
    /// vulkan, metal or dx12.
    pub backend: String,
    /// discrete, integrated, virtual, other or software.
    pub kind: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Whether it runs on the CPU: for tests, slower than the device "cpu".
    pub software: bool,
    /// Bytes of one tensor at most.
    pub buffer_bytes: f64,
    /// Bytes of one tensor that one kernel may see at once.
    pub binding_bytes: f64,
    /// Tensors a kernel.
    pub bindings: u32,
    /// Bytes that a workgroup shares.
    pub workgroup_bytes: u32,
    /// Those of f16, subgroups and timestamps that it has.
    pub features: Vec<String>,
}

/// Every GPU that a Vulkan, Metal or DX12 driver offers, hardware first; empty where there is none.
#[napi]
pub fn gpu_adapters() -> Vec<GpuAdapter> {
    #[cfg(feature = "gpu")]
    let found = crate::gpu::adapters().into_iter().map(|a| GpuAdapter {
        device: format!("gpu:{}", a.index),
        name: a.name,
        backend: a.backend,
        kind: a.kind,
        driver: a.driver,
        software: a.software,
        buffer_bytes: a.limits.buffer as f64,
        binding_bytes: a.limits.binding as f64,
        bindings: a.limits.bindings,
        workgroup_bytes: a.limits.workgroup_memory,
        features: a.features.into_iter().map(String::from).collect(),
    });
    #[cfg(not(feature = "gpu"))]
    let found = [];
    found.into_iter().collect()
}

/// Operations that have no kernel for the GPU: there they are ERR_UNSUPPORTED.
#[napi]
pub fn operations_without_gpu() -> Vec<String> {
    crate::ops::table::without_gpu().into_iter().map(String::from).collect()
}

/// Operations that take tensors of a GPU to the CPU and their results back; `gpuStatistics` counts them.
#[napi]
pub fn operations_on_cpu() -> Vec<String> {
    crate::ops::table::on_cpu().into_iter().map(String::from).collect()
}

/// The device on which functions such as `zeros` make tensors unless told otherwise.
#[napi]
pub fn get_default_device() -> String {
    Device::current().name()
}

/// Sets it for this thread; opens a GPU if need be. Returns the full name, "gpu:0" for "gpu".
#[napi]
pub fn set_default_device(#[napi(ts_arg_type = "DeviceName")] device: String) -> Result<String> {
    let device = Device::parse(&device)?;
    let name = device.name();
    Device::set_current(device);
    Ok(name)
}

/// Where GPUs that are opened from now on keep compiled kernels and which of them ran fastest; nothing is kept without a folder.
#[napi]
pub fn set_gpu_cache_folder(folder: Option<String>) {
    #[cfg(feature = "gpu")]
    crate::gpu::set_cache_folder(folder.map(std::path::PathBuf::from));
    #[cfg(not(feature = "gpu"))]
    drop(folder);
}

/// Writes there what was compiled last; what is older is written while a run goes on.
#[napi]
pub fn save_gpu_caches() {
    #[cfg(feature = "gpu")]
    crate::gpu::save_caches();
}

/// What a GPU holds, and what it has done since it was opened.
#[napi(object)]
pub struct GpuStatistics {
    /// Tensors' buffers in use.
    pub live_buffers: f64,
    pub live_bytes: f64,
    pub peak_bytes: f64,
    /// Bytes that were freed and wait to be used again.
    pub pooled_bytes: f64,
    /// Kernels started.
    pub dispatches: f64,
    /// Command buffers handed to the driver.
    pub submissions: f64,
    /// Kernels compiled.
    pub pipelines: f64,
    pub uploaded_bytes: f64,
    pub downloaded_bytes: f64,
    /// Operations that ran on the CPU, their tensors taken there and back; see `operationsOnCpu`.
    pub cpu_operations: f64,
    /// Bytes that kernels and copies could read, and write: of what is bound, each once a dispatch.
    pub read_bytes: f64,
    pub written_bytes: f64,
}

/// Memory and work of a GPU.
#[napi]
pub fn gpu_statistics(#[napi(ts_arg_type = "DeviceName")] device: String) -> Result<GpuStatistics> {
    match Device::parse(&device)? {
        #[cfg(feature = "gpu")]
        Device::Gpu(gpu) => {
            let s = gpu.statistics();
            Ok(GpuStatistics {
                live_buffers: s.live_buffers as f64,
                live_bytes: s.live_bytes as f64,
                peak_bytes: s.peak_bytes as f64,
                pooled_bytes: s.pooled_bytes as f64,
                dispatches: s.dispatches as f64,
                submissions: s.submissions as f64,
                pipelines: s.pipelines as f64,
                uploaded_bytes: s.uploaded_bytes as f64,
                downloaded_bytes: s.downloaded_bytes as f64,
                cpu_operations: s.cpu_operations as f64,
                read_bytes: s.read_bytes as f64,
                written_bytes: s.written_bytes as f64,
            })
        }
        Device::Cpu => crate::bail!(Argument, "gpuStatistics: \"{device}\" is no GPU; use memory()"),
    }
}

/// How long the kernels of an operation ran on a GPU.
#[napi(object)]
pub struct KernelTime {
    pub name: String,
    pub dispatches: f64,
    pub seconds: f64,
}

/// Switches times of kernels on or off; false where the adapter has no timestamps. Kernels run one by one meanwhile.
#[napi]
pub fn set_kernel_timing(#[napi(ts_arg_type = "DeviceName")] device: String, on: bool) -> Result<bool> {
    match Device::parse(&device)? {
        #[cfg(feature = "gpu")]
        Device::Gpu(gpu) => gpu.set_timing(on),
        Device::Cpu => crate::bail!(Argument, "setKernelTiming({on}): \"{device}\" is no GPU"),
    }
}

/// What kernels took since the last call, by operation, the longest first. Waits for the GPU.
#[napi]
pub fn take_kernel_times(#[napi(ts_arg_type = "DeviceName")] device: String) -> Result<Vec<KernelTime>> {
    match Device::parse(&device)? {
        #[cfg(feature = "gpu")]
        Device::Gpu(gpu) => {
            let times = gpu.take_timings()?;
            let time = |t: crate::gpu::KernelTime| KernelTime {
                name: t.name,
                dispatches: t.dispatches as f64,
                seconds: t.seconds,
            };
            Ok(times.into_iter().map(time).collect())
        }
        Device::Cpu => crate::bail!(Argument, "takeKernelTimes: \"{device}\" is no GPU"),
    }
}

/// Waits until a device has done everything it was told: for measurements. On the CPU nothing is ever open.
#[napi]
pub fn synchronize(#[napi(ts_arg_type = "DeviceName")] device: String) -> Result<()> {
    match Device::parse(&device)? {
        #[cfg(feature = "gpu")]
        Device::Gpu(gpu) => gpu.wait(),
        Device::Cpu => Ok(()),
    }
}

/// All elements in row-major order, read off the event loop.
#[cfg(feature = "gpu")]
pub(super) fn read<'env>(tensor: &Tensor, env: &'env Env) -> Result<PromiseRaw<'env, super::tensor::Data>> {
    let dense = movement::contiguous(&tensor.detach()?)?;
    let (reading, _) = transfer::begin_reading(&dense)?;
    let work = env.spawn(ReadAll { reading: Some(reading), dtype: tensor.dtype() }).map_err(super::border)?;
    Ok(work.promise_object())
}

/// The only element, read off the event loop.
#[cfg(feature = "gpu")]
pub(super) fn read_number<'env>(tensor: &Tensor, env: &'env Env) -> Result<PromiseRaw<'env, f64>> {
    let (reading, _) = transfer::begin_reading(tensor)?;
    let work = env.spawn(ReadOne { reading: Some(reading), dtype: tensor.dtype() }).map_err(super::border)?;
    Ok(work.promise_object())
}

#[cfg(feature = "gpu")]
struct ReadAll {
    reading: Option<transfer::TensorReading>,
    dtype: DType,
}

#[cfg(feature = "gpu")]
struct ReadOne {
    reading: Option<transfer::TensorReading>,
    dtype: DType,
}

#[cfg(feature = "gpu")]
fn wait(reading: &mut Option<transfer::TensorReading>) -> std::result::Result<Vec<u8>, Error> {
    match reading.take() {
        Some(reading) => reading.wait(|bytes| bytes.to_vec()),
        None => Err(Error::Internal("a tensor was read twice by one task".to_string())),
    }
}

/// The error of the core as a rejection with its code.
#[cfg(feature = "gpu")]
fn rejection(env: Env, error: Error) -> napi::Error {
    napi::Error::from(JsError::from(error).into_unknown(env))
}

#[cfg(feature = "gpu")]
impl Task for ReadAll {
    type Output = std::result::Result<Vec<u8>, Error>;
    type JsValue = super::tensor::Data;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(wait(&mut self.reading))
    }

    fn resolve(&mut self, env: Env, bytes: Self::Output) -> napi::Result<Self::JsValue> {
        let bytes = bytes.map_err(|error| rejection(env, error))?;
        Ok(match self.dtype {
            DType::F32 => Either4::A(Float32Array::new(elements(&bytes, f32::from_le_bytes))),
            DType::I64 => Either4::C(BigInt64Array::new(elements(&bytes, i64::from_le_bytes))),
            _ => Either4::D(Uint8Array::new(bytes)),
        })
    }
}

#[cfg(feature = "gpu")]
impl Task for ReadOne {
    type Output = std::result::Result<Vec<u8>, Error>;
    type JsValue = f64;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(wait(&mut self.reading))
    }

    fn resolve(&mut self, env: Env, bytes: Self::Output) -> napi::Result<f64> {
        let bytes = bytes.map_err(|error| rejection(env, error))?;
        Ok(match self.dtype {
            DType::F32 => elements(&bytes, f32::from_le_bytes)[0].into(),
            DType::I64 => elements(&bytes, i64::from_le_bytes)[0] as f64,
            _ => bytes[0].into(),
        })
    }
}

#[cfg(feature = "gpu")]
fn elements<T, const N: usize>(bytes: &[u8], make: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|chunk| make(*chunk)).collect()
}
