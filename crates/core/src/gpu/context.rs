//! One opened adapter: device and queue, its limits, what went wrong on it, and what it has done so far.

use super::adapter::{AdapterDescription, ready};
use super::cache::{Kept, PipelineCache};
use super::faults::Faults;
use super::memory::Pool;
use super::pipeline::Pipelines;
use super::queue::Recorder;
use super::tuning::Tuned;
use crate::bail;
use crate::error::Result;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

/// Features that are asked for where an adapter has them.
const USED: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SUBGROUP).union(wgpu::Features::PIPELINE_CACHE);

/// An opened GPU. One an adapter and process.
pub struct Gpu {
    pub description: AdapterDescription,
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) limits: GpuLimits,
    pub(super) recorder: Mutex<Recorder>,
    pub(super) pool: Mutex<Pool>,
    pub(super) pipelines: Mutex<Pipelines>,
    pub(super) pipeline_cache: Option<PipelineCache>,
    pub(super) tuned: Mutex<Tuned>,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    troubles: Arc<Troubles>,
}

/// What the driver allows, in bytes unless said otherwise.
#[derive(Debug, Clone, Copy)]
pub struct GpuLimits {
    pub buffer: u64,
    /// Of one buffer that one kernel sees at a time.
    pub binding: u64,
    /// A binding begins at a multiple of this.
    pub binding_alignment: u64,
    /// Buffers a kernel.
    pub bindings: u32,
    /// Workgroups a dimension.
    pub workgroups: u32,
    /// Memory that a workgroup shares.
    pub workgroup_memory: u32,
    /// Invocations a workgroup.
    pub invocations: u32,
    /// Invocations a subgroup, if all subgroups have as many; 0 where not, or without subgroups.
    pub subgroup: u32,
}

impl GpuLimits {
    pub(super) fn of(limits: &wgpu::Limits, subgroup: u32) -> GpuLimits {
        GpuLimits {
            buffer: limits.max_buffer_size,
            binding: limits.max_storage_buffer_binding_size.min(limits.max_buffer_size),
            binding_alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(16),
            bindings: limits.max_storage_buffers_per_shader_stage,
            workgroups: limits.max_compute_workgroups_per_dimension,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            invocations: limits.max_compute_invocations_per_workgroup,
            subgroup,
        }
    }
}

/// What somebody does about a lost device.
const LOST: &str = "What was on it is gone: go on from the last checkpoint (spt run --resume). If it happens again, the system's \
                    log says why the driver was reset (on Linux dmesg); a smaller batch makes kernels shorter";

/// What wgpu reports outside of calls.
#[derive(Default)]
struct Troubles {
    any: AtomicBool,
    lost: AtomicBool,
    texts: Mutex<Vec<String>>,
}

impl Troubles {
    fn add(&self, text: String) {
        lock(&self.texts).push(text);
        self.any.store(true, Relaxed);
    }
}

#[derive(Default)]
pub(super) struct Counters {
    pub dispatches: AtomicU64,
    pub submissions: AtomicU64,
    pub pipelines: AtomicU64,
    pub uploaded: AtomicU64,
    pub downloaded: AtomicU64,
    pub copied: AtomicU64,
    pub cpu_operations: AtomicU64,
    pub read: AtomicU64,
    pub written: AtomicU64,
}

/// Memory now, and work since the device was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpuStatistics {
    pub live_buffers: usize,
    pub live_bytes: u64,
    pub peak_bytes: u64,
    /// Freed, waiting to be used again.
    pub pooled_bytes: u64,
    pub dispatches: u64,
    pub submissions: u64,
    pub pipelines: u64,
    pub uploaded_bytes: u64,
    pub downloaded_bytes: u64,
    /// Operations that ran on the CPU, their tensors taken there and back.
    pub cpu_operations: u64,
    /// Bytes that kernels and copies could read, and write: of what is bound, each once a dispatch.
    pub read_bytes: u64,
    pub written_bytes: u64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Gpu {
    pub(super) fn new(adapter: &wgpu::Adapter, description: AdapterDescription) -> Result<Gpu> {
        // All that the adapter has; kernels ask `limits` and do with what WebGPU guarantees where they can.
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("stable-pretraining"),
            required_features: adapter.features() & USED,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        };
        let (device, queue) = match ready(adapter.request_device(&descriptor)) {
            Ok(pair) => pair,
            Err(error) => {
                bail!(Device, "gpu:{} {}: cannot be opened: {error}", description.index, description.name)
            }
        };
        let troubles = Arc::new(Troubles::default());
        let heard = troubles.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| heard.add(error.to_string())));
        let heard = troubles.clone();
        device.set_device_lost_callback(move |reason, text| {
            heard.lost.store(true, Relaxed);
            heard.add(format!("the device was lost ({reason:?}): {text}"));
        });
        let limits = description.limits;
        Ok(Gpu {
            recorder: Mutex::new(Recorder::new(&device)),
            pool: Mutex::new(Pool::default()),
            pipelines: Mutex::new(Pipelines::default()),
            pipeline_cache: PipelineCache::new(&device, &description),
            tuned: Mutex::new(Tuned::new(Kept::new(&description, "tuning"))),
            counters: Counters::default(),
            faults: Faults::new(&device),
            description,
            device,
            queue,
            limits,
            troubles,
        })
    }

    /// As in a configuration: `gpu:0`.
    pub fn name(&self) -> String {
        format!("gpu:{}", self.description.index)
    }

    pub fn limits(&self) -> &GpuLimits {
        &self.limits
    }

    /// Invocations a subgroup of an adapter that runs on the CPU, if all subgroups have as many: there a subgroup is one SIMD
    /// register, and kernels take another form (see `product_gpu`).
    pub fn lanes(&self) -> Option<usize> {
        let size = self.limits.subgroup as usize;
        (self.description.software && [4, 8, 16, 32].contains(&size)).then_some(size)
    }

    pub fn is_lost(&self) -> bool {
        self.troubles.lost.load(Relaxed)
    }

    /// What went wrong since the last call, as an error of `what` was running. Cheap while all is well.
    pub fn check(&self, what: &str) -> Result<()> {
        if !self.troubles.any.load(Relaxed) {
            return Ok(());
        }
        let lost = self.is_lost();
        let mut texts = lock(&self.troubles.texts);
        // A lost device stays lost; any other trouble is told once.
        self.troubles.any.store(lost, Relaxed);
        let text = if lost { format!("{}. {LOST}", texts.join("; ")) } else { std::mem::take(&mut *texts).join("; ") };
        bail!(Device, "{what} on {} ({}): {text}", self.name(), self.description.name)
    }

    pub fn statistics(&self) -> GpuStatistics {
        let pool = lock(&self.pool);
        let count = |counter: &AtomicU64| counter.load(Relaxed);
        GpuStatistics {
            live_buffers: pool.live_buffers,
            live_bytes: pool.live_bytes,
            peak_bytes: pool.peak_bytes,
            pooled_bytes: pool.waiting_bytes,
            dispatches: count(&self.counters.dispatches),
            submissions: count(&self.counters.submissions),
            pipelines: count(&self.counters.pipelines),
            uploaded_bytes: count(&self.counters.uploaded),
            downloaded_bytes: count(&self.counters.downloaded),
            cpu_operations: count(&self.counters.cpu_operations),
            read_bytes: count(&self.counters.read) + count(&self.counters.copied),
            written_bytes: count(&self.counters.written) + count(&self.counters.copied),
        }
    }

    /// Tells of an operation that runs on the CPU although its tensors are here.
    pub fn count_cpu_operation(&self) {
        self.counters.cpu_operations.fetch_add(1, Relaxed);
    }

    /// Starts a new measurement of the most bytes in use at once.
    pub fn reset_peak(&self) {
        let mut pool = lock(&self.pool);
        pool.peak_bytes = pool.live_bytes;
    }

    /// Hands the memory that waits to be used again back to the driver.
    pub fn release_pool(&self) {
        lock(&self.pool).trim(0);
    }
}
