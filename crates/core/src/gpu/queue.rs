//! Recording: dispatches and copies go into one command encoder, which is submitted when it is full or something is read.

use super::cache::QUIET;
use super::context::{Gpu, lock};
use super::memory::GpuBuffer;
use super::pipeline::{BINDINGS, Pipeline, Source};
use super::timing::Timing;
use crate::ensure;
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// 32-bit parameters a kernel, at most: `p(i)` and `pf(i)` in WGSL.
pub const PARAMETERS: usize = 64;
/// Bytes of a dispatch's parameters: the alignment that every driver takes.
const SLOT: usize = 256;
/// Dispatches a submission, at most.
pub(super) const BATCH: usize = 256;
/// Bytes of parameters and small uploads a submission.
const CONSTANTS: usize = 1 << 20;
/// Larger uploads get a buffer of their own.
const SMALL: usize = 1 << 16;
/// Bytes of those a submission, about.
const STAGED: u64 = 64 << 20;
/// Submissions that may be under way before the next one waits.
const AHEAD: usize = 4;

/// A part of a buffer as a kernel sees it.
pub struct Binding<'a> {
    pub buffer: &'a GpuBuffer,
    /// First byte, a multiple of the limits' `binding_alignment`.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    pub written: bool,
}

/// A kernel with its arguments.
pub struct Dispatch<'a> {
    /// What an error names.
    pub what: &'a str,
    pub source: Source<'a>,
    pub bindings: &'a [Binding<'a>],
    pub parameters: &'a [u32],
    /// The last binding is the words of `faults`.
    pub faults: bool,
    pub workgroups: [u32; 3],
}

/// What was recorded and not yet submitted.
pub(super) struct Recorder {
    encoder: Option<wgpu::CommandEncoder>,
    /// Open while dispatches follow each other.
    pass: Option<wgpu::ComputePass<'static>>,
    dispatches: usize,
    /// Parameters and small uploads, in host memory until the submission.
    constants: Vec<u8>,
    constant_buffer: wgpu::Buffer,
    staged: u64,
    under_way: VecDeque<wgpu::SubmissionIndex>,
    /// While kernels are timed.
    pub timing: Option<Timing>,
}

impl Recorder {
    pub fn new(device: &wgpu::Device) -> Recorder {
        use wgpu::BufferUsages as Usage;
        let constant_buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("constants"),
            size: CONSTANTS as u64,
            usage: Usage::UNIFORM | Usage::COPY_SRC | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        Recorder {
            encoder: None,
            pass: None,
            dispatches: 0,
            constants: Vec::new(),
            constant_buffer,
            staged: 0,
            under_way: VecDeque::new(),
            timing: None,
        }
    }

    fn encoder(&mut self, gpu: &Gpu) -> &mut wgpu::CommandEncoder {
        self.encoder.get_or_insert_with(|| gpu.device.create_command_encoder(&Default::default()))
    }

    /// Puts bytes among the constants (submitting first if they are full); returns their place.
    fn constant(&mut self, gpu: &Gpu, bytes: impl Iterator<Item = u8>, room: usize) -> Result<u64> {
        if self.constants.len() + room > CONSTANTS {
            self.flush(gpu)?;
        }
        let place = self.constants.len();
        self.constants.extend(bytes);
        self.constants.resize(place + room, 0);
        Ok(place as u64)
    }

    fn dispatch(&mut self, gpu: &Gpu, pipeline: &Pipeline, dispatch: &Dispatch) -> Result<()> {
        if self.dispatches >= BATCH {
            self.flush(gpu)?;
        }
        let parameters = dispatch.parameters.iter().flat_map(|word| word.to_le_bytes());
        let place = self.constant(gpu, parameters, SLOT)?;
        let mut entries = vec![wgpu::BindGroupEntry {
            binding: 0,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &self.constant_buffer,
                offset: 0,
                size: wgpu::BufferSize::new(SLOT as u64),
            }),
        }];
        for (index, binding) in dispatch.bindings.iter().enumerate() {
            entries.push(wgpu::BindGroupEntry {
                binding: index as u32 + 1,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: binding.buffer.raw(),
                    offset: binding.offset,
                    size: wgpu::BufferSize::new(binding.size),
                }),
            });
        }
        if dispatch.faults {
            gpu.faults.expect();
            entries.push(wgpu::BindGroupEntry {
                binding: entries.len() as u32,
                resource: gpu.faults.buffer.as_entire_binding(),
            });
        }
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.layout,
            entries: &entries,
        });
        if let Some(mut timing) = self.timing.take() {
            self.pass = None;
            let timestamp_writes = Some(timing.next(dispatch.what));
            let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
            self.pass = Some(self.encoder(gpu).begin_compute_pass(&descriptor).forget_lifetime());
            self.timing = Some(timing);
        } else if self.pass.is_none() {
            self.pass = Some(self.encoder(gpu).begin_compute_pass(&Default::default()).forget_lifetime());
        }
        let pass = self.pass.as_mut().expect("opened above");
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[place as u32]);
        let [x, y, z] = dispatch.workgroups;
        pass.dispatch_workgroups(x, y, z);
        self.dispatches += 1;
        gpu.counters.dispatches.fetch_add(1, Relaxed);
        for binding in dispatch.bindings {
            let counter = if binding.written { &gpu.counters.written } else { &gpu.counters.read };
            counter.fetch_add(binding.size, Relaxed);
        }
        Ok(())
    }

    pub fn copy(&mut self, gpu: &Gpu, from: (&wgpu::Buffer, u64), to: (&wgpu::Buffer, u64), size: u64) -> Result<()> {
        self.pass = None;
        self.encoder(gpu).copy_buffer_to_buffer(from.0, from.1, to.0, to.1, size);
        Ok(())
    }

    /// Records a command that is no dispatch.
    pub fn encode(&mut self, gpu: &Gpu, command: impl FnOnce(&mut wgpu::CommandEncoder)) {
        self.pass = None;
        command(self.encoder(gpu));
    }

    /// Writes a few bytes by way of the constants; false: they are too many for that.
    pub fn write_small(&mut self, gpu: &Gpu, to: &GpuBuffer, bytes: &[u8]) -> Result<bool> {
        if bytes.len() > SMALL {
            return Ok(false);
        }
        let place = self.constant(gpu, bytes.iter().copied(), bytes.len().next_multiple_of(SLOT))?;
        let constants = self.constant_buffer.clone();
        self.copy(gpu, (&constants, place), (to.raw(), 0), bytes.len().next_multiple_of(4) as u64)?;
        Ok(true)
    }

    /// Counts bytes of staging buffers that live until the submission.
    pub fn staged(&mut self, gpu: &Gpu, bytes: u64) -> Result<()> {
        self.staged += bytes;
        if self.staged > STAGED { self.flush(gpu) } else { Ok(()) }
    }

    /// Submits what was recorded.
    pub fn flush(&mut self, gpu: &Gpu) -> Result<()> {
        self.pass = None;
        let Some(mut encoder) = self.encoder.take() else { return Ok(()) };
        if let Some(timing) = &mut self.timing {
            timing.finish(&gpu.device, &mut encoder);
        }
        // Written at once before this submission, and after the previous one.
        gpu.queue.write_buffer(&self.constant_buffer, 0, &self.constants);
        self.constants.clear();
        self.dispatches = 0;
        self.staged = 0;
        self.under_way.push_back(gpu.queue.submit([encoder.finish()]));
        gpu.counters.submissions.fetch_add(1, Relaxed);
        gpu.check("submitting commands")?;
        gpu.save_pipelines(QUIET);
        while self.under_way.len() > AHEAD {
            let oldest = self.under_way.pop_front();
            let wait = wgpu::PollType::Wait { submission_index: oldest, timeout: None };
            gpu.device.poll(wait).map_err(|error| Error::Device(format!("{}: {error}", gpu.name())))?;
        }
        Ok(())
    }
}

impl Gpu {
    /// Records a kernel. Nothing has run when this returns.
    pub fn dispatch(&self, dispatch: &Dispatch) -> Result<()> {
        let Dispatch { what, bindings, parameters, workgroups, .. } = dispatch;
        ensure!(
            bindings.len() + usize::from(dispatch.faults) <= (self.limits.bindings as usize).min(BINDINGS)
                && parameters.len() <= PARAMETERS,
            Internal,
            "{what}: {} buffers and {} parameters; {} allows {} and {PARAMETERS}",
            bindings.len(),
            parameters.len(),
            self.name(),
            self.limits.bindings
        );
        for binding in *bindings {
            ensure!(
                binding.size <= self.limits.binding,
                Unsupported,
                "{what}: reads {} bytes of one tensor at once; {} ({}) allows {}. Use a smaller batch",
                binding.size,
                self.name(),
                self.description.name,
                self.limits.binding
            );
        }
        ensure!(
            workgroups.iter().all(|&n| n <= self.limits.workgroups),
            Unsupported,
            "{what}: {workgroups:?} workgroups; {} allows {} a dimension. Use a smaller batch",
            self.name(),
            self.limits.workgroups
        );
        if workgroups.contains(&0) {
            return Ok(());
        }
        let faults = if dispatch.faults { 2u128 } else { 0 };
        let access = bindings.iter().rev().fold(faults, |bits, b| (bits << 2) | if b.written { 2 } else { 1 });
        let pipeline: Arc<Pipeline> = self.pipeline(&dispatch.source, access)?;
        lock(&self.recorder).dispatch(self, &pipeline, dispatch)?;
        self.check(what)
    }

    /// Submits what was recorded, without waiting.
    pub fn flush(&self) -> Result<()> {
        lock(&self.recorder).flush(self)
    }

    /// Submits and waits until everything has run.
    pub fn wait(&self) -> Result<()> {
        self.flush()?;
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        polled.map_err(|error| Error::Device(format!("{}: {error}", self.name())))?;
        self.check("waiting")
    }

    /// Workgroups of `size` invocations for `count` of them, spread over two dimensions; see `invocation` in the prelude.
    pub fn workgroups(&self, count: usize, size: u32) -> Result<[u32; 3]> {
        let groups = count.div_ceil(size as usize) as u64;
        let columns = groups.min(u64::from(self.limits.workgroups));
        let rows = if columns == 0 { 0 } else { groups.div_ceil(columns) };
        ensure!(
            rows <= u64::from(self.limits.workgroups),
            Unsupported,
            "{count} elements in one operation are more than {} runs",
            self.name()
        );
        Ok([columns as u32, rows as u32, 1])
    }
}
