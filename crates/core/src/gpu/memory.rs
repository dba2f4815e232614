//! Buffers on the GPU from a pool that uses dead ones again, and the ways in and out of them.

use super::adapter::ready;
use super::context::{Gpu, lock};
use super::faults;
use crate::bail;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, channel};

/// Free buffers by capacity, and counters.
#[derive(Default)]
pub(super) struct Pool {
    free: BTreeMap<u64, Vec<wgpu::Buffer>>,
    pub waiting_bytes: u64,
    pub live_buffers: usize,
    pub live_bytes: u64,
    pub peak_bytes: u64,
}

impl Pool {
    fn take(&mut self, capacity: u64) -> Option<wgpu::Buffer> {
        let list = self.free.get_mut(&capacity)?;
        let buffer = list.pop()?;
        if list.is_empty() {
            self.free.remove(&capacity);
        }
        self.waiting_bytes -= capacity;
        Some(buffer)
    }

    fn put(&mut self, buffer: wgpu::Buffer, capacity: u64) {
        self.free.entry(capacity).or_default().push(buffer);
        self.waiting_bytes += capacity;
        // As in host memory: what waits never exceeds the most that was in use.
        self.trim(self.peak_bytes.max(1 << 20));
    }

    /// Frees the largest buffers until at most `limit` bytes wait.
    pub fn trim(&mut self, limit: u64) {
        while self.waiting_bytes > limit {
            let Some((&capacity, _)) = self.free.iter().next_back() else { return };
            drop(self.take(capacity));
        }
    }
}

/// Eight sizes between two powers of two, as in host memory; at least 256 bytes.
fn capacity_for(bytes: u64) -> u64 {
    let step = (bytes.next_power_of_two() / 16).max(256);
    bytes.div_ceil(step).max(1) * step
}

/// Bytes on a GPU that somebody owns. Its content is unspecified until written; the end of its capacity may hold anything.
pub struct GpuBuffer {
    pub(super) gpu: Arc<Gpu>,
    /// Some until it is dropped.
    raw: Option<wgpu::Buffer>,
    bytes: u64,
    capacity: u64,
}

impl GpuBuffer {
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn raw(&self) -> &wgpu::Buffer {
        self.raw.as_ref().expect("taken by drop alone")
    }
}

impl Drop for GpuBuffer {
    fn drop(&mut self) {
        let mut pool = lock(&self.gpu.pool);
        pool.live_buffers -= 1;
        pool.live_bytes -= self.capacity;
        if let Some(raw) = self.raw.take() {
            pool.put(raw, self.capacity);
        }
    }
}

impl Gpu {
    /// Memory for `what`, which an error names. It is never read before it was written.
    pub fn allocate(self: &Arc<Gpu>, bytes: u64, what: &str) -> Result<GpuBuffer> {
        self.check(what)?;
        let capacity = capacity_for(bytes);
        if capacity > self.limits.buffer {
            bail!(
                Memory,
                "{what}: {bytes} bytes in one tensor; {} ({}) allows {} a buffer. Use a smaller batch",
                self.name(),
                self.description.name,
                self.limits.buffer
            );
        }
        let pooled = lock(&self.pool).take(capacity);
        let raw = match pooled.or_else(|| self.create(capacity)) {
            Some(raw) => raw,
            None => {
                // Whatever waits goes back first; buffers die when the work that uses them is done.
                self.release_pool();
                self.wait()?;
                match self.create(capacity) {
                    Some(raw) => raw,
                    None => bail!(
                        Memory,
                        "{what}: no memory on {} ({}) for {bytes} bytes; {} bytes are in use by live tensors. \
                         Use a smaller batch, or free tensors with scope()",
                        self.name(),
                        self.description.name,
                        lock(&self.pool).live_bytes
                    ),
                }
            }
        };
        let mut pool = lock(&self.pool);
        pool.live_buffers += 1;
        pool.live_bytes += capacity;
        pool.peak_bytes = pool.peak_bytes.max(pool.live_bytes);
        drop(pool);
        Ok(GpuBuffer { gpu: self.clone(), raw: Some(raw), bytes, capacity })
    }

    /// None: the driver has no memory for it.
    fn create(&self, size: u64) -> Option<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        self.attempt(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    fn attempt(&self, descriptor: &wgpu::BufferDescriptor) -> Option<wgpu::Buffer> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(descriptor);
        match ready(scope.pop()) {
            None => Some(buffer),
            Some(_) => None,
        }
    }

    /// A buffer with these bytes, as of the commands recorded from now on.
    pub fn upload(self: &Arc<Gpu>, bytes: &[u8], what: &str) -> Result<GpuBuffer> {
        let buffer = self.allocate(bytes.len() as u64, what)?;
        self.write(&buffer, bytes, what)?;
        Ok(buffer)
    }

    /// Overwrites a buffer from its beginning, in the order of recording.
    pub fn write(&self, buffer: &GpuBuffer, bytes: &[u8], what: &str) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.counters.uploaded.fetch_add(bytes.len() as u64, Relaxed);
        let mut recorder = lock(&self.recorder);
        if recorder.write_small(self, buffer, bytes)? {
            return Ok(());
        }
        // Commands are aligned to 4 bytes; the capacity is, too.
        let size = (bytes.len() as u64).next_multiple_of(4);
        let usage = wgpu::BufferUsages::COPY_SRC;
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: true };
        let staging = self.attempt(&descriptor).ok_or_else(|| self.no_staging(what, size))?;
        {
            let mut view =
                staging.get_mapped_range_mut(..).map_err(|error| Error::Device(format!("{what}: {error}")))?;
            view.slice(..bytes.len()).copy_from_slice(bytes);
        }
        staging.unmap();
        recorder.copy(self, (&staging, 0), (buffer.raw(), 0), size)?;
        recorder.staged(self, size)
    }

    /// Copies bytes between two buffers; offsets and size are multiples of 4.
    pub fn copy(&self, from: (&GpuBuffer, u64), to: (&GpuBuffer, u64), size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        self.counters.copied.fetch_add(size, Relaxed);
        lock(&self.recorder).copy(self, (from.0.raw(), from.1), (to.0.raw(), to.1), size)
    }

    /// Begins to read `size` bytes from `offset` (a multiple of 4) on: submits what was recorded, waits for nothing.
    pub fn read(self: &Arc<Gpu>, buffer: &GpuBuffer, offset: u64, size: u64, what: &str) -> Result<Reading> {
        self.counters.downloaded.fetch_add(size, Relaxed);
        let (sender, result) = channel();
        let padded = size.max(1).next_multiple_of(4);
        let faults = if self.faults.is_possible() { faults::BYTES } else { 0 };
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size: padded + faults, usage, mapped_at_creation: false };
        let staging = self.attempt(&descriptor).ok_or_else(|| self.no_staging(what, padded))?;
        let mut recorder = lock(&self.recorder);
        recorder.copy(self, (buffer.raw(), offset), (&staging, 0), padded)?;
        if faults > 0 {
            recorder.copy(self, (&self.faults.buffer, 0), (&staging, padded), faults)?;
        }
        recorder.flush(self)?;
        drop(recorder);
        staging.map_async(wgpu::MapMode::Read, .., move |outcome| {
            let _ = sender.send(outcome);
        });
        self.check(what)?;
        Ok(Reading {
            gpu: self.clone(),
            staging,
            result,
            size: size as usize,
            faults: faults as usize,
            what: what.to_string(),
        })
    }

    fn no_staging(&self, what: &str, size: u64) -> Error {
        Error::Memory(format!("{what}: no memory for a transfer of {size} bytes with {}", self.name()))
    }
}

/// A read that is under way. It may be waited for on any thread.
pub struct Reading {
    gpu: Arc<Gpu>,
    staging: wgpu::Buffer,
    result: Receiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    size: usize,
    /// Bytes at the end that tell of faults.
    faults: usize,
    what: String,
}

impl Reading {
    /// Waits until the bytes are there and hands them to `take`.
    pub fn wait<R>(self, take: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let failed = |text: String| Error::Device(format!("{} on {}: {text}", self.what, self.gpu.name()));
        self.gpu.device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| failed(error.to_string()))?;
        self.gpu.check(&self.what)?;
        let outcome = self.result.recv().map_err(|_| failed("the read was dropped".to_string()))?;
        outcome.map_err(|error| failed(error.to_string()))?;
        let view = self.staging.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
        if self.faults > 0 {
            self.gpu.check_faults(&view[view.len() - self.faults..])?;
        }
        Ok(take(&view[..self.size]))
    }
}
