//! How long kernels run on the GPU, by the operation that launched them: timestamps around each dispatch while it is on.
//! Each dispatch is a pass of its own then, and reading the times waits for the GPU: for profiles, not for training.

use super::context::{Gpu, lock};
use super::queue::BATCH;
use crate::error::{Error, Result};
use std::collections::HashMap;

/// What was counted of one operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KernelTime {
    pub name: String,
    pub dispatches: u64,
    pub seconds: f64,
}

/// Timestamps of the dispatches that were recorded and not yet submitted, and of those that were and not yet read.
pub(super) struct Timing {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    names: Vec<String>,
    submitted: Vec<(wgpu::Buffer, Vec<String>)>,
}

/// Bytes of the two times of a dispatch.
const PAIR: u64 = 16;

impl Timing {
    pub fn new(device: &wgpu::Device) -> Timing {
        Timing {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: 2 * BATCH as u32,
            }),
            resolved: device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: PAIR * BATCH as u64,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            }),
            names: Vec::new(),
            submitted: Vec::new(),
        }
    }

    /// The timestamps of the pass of the next dispatch, which `name` launches.
    pub fn next(&mut self, name: &str) -> wgpu::ComputePassTimestampWrites<'_> {
        let first = 2 * self.names.len() as u32;
        self.names.push(name.to_string());
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    /// Records that the times of these dispatches are brought where they can be read. After the submission they are mapped.
    pub fn finish(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) {
        if self.names.is_empty() {
            return;
        }
        let size = PAIR * self.names.len() as u64;
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        encoder.resolve_query_set(&self.queries, 0..2 * self.names.len() as u32, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &staging, 0, size);
        self.submitted.push((staging, std::mem::take(&mut self.names)));
    }
}

impl Gpu {
    /// Switches times of kernels on or off; false where the adapter has no timestamps.
    pub fn set_timing(&self, on: bool) -> Result<bool> {
        let mut recorder = lock(&self.recorder);
        recorder.flush(self)?;
        let possible = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        recorder.timing = (on && possible).then(|| Timing::new(&self.device));
        Ok(possible)
    }

    /// What kernels took since the last call, the longest first. Waits for the GPU; empty while it is off.
    pub fn take_timings(&self) -> Result<Vec<KernelTime>> {
        let mut recorder = lock(&self.recorder);
        recorder.flush(self)?;
        let submitted = recorder.timing.as_mut().map_or(Vec::new(), |timing| std::mem::take(&mut timing.submitted));
        drop(recorder);
        let failed = |error: String| Error::Device(format!("reading times of kernels on {}: {error}", self.name()));
        for (staging, _) in &submitted {
            staging.map_async(wgpu::MapMode::Read, .., |_| {});
        }
        self.wait()?;
        let period = f64::from(self.queue.get_timestamp_period()) * 1e-9;
        let mut found: HashMap<String, KernelTime> = HashMap::new();
        for (staging, names) in submitted {
            let view = staging.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
            for (pair, name) in view.chunks_exact(PAIR as usize).zip(names) {
                let tick = |from: usize| u64::from_le_bytes(pair[from..from + 8].try_into().expect("eight bytes"));
                let time = found.entry(name.clone()).or_insert(KernelTime { name, ..Default::default() });
                time.dispatches += 1;
                time.seconds += tick(8).saturating_sub(tick(0)) as f64 * period;
            }
        }
        let mut times: Vec<KernelTime> = found.into_values().collect();
        times.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then_with(|| a.name.cmp(&b.name)));
        Ok(times)
    }
}
