//! What kernels find wrong with their inputs, such as an index outside: words on the GPU that the first fault fills, and
//! that come along with the next read, which then is the error. Nothing waits for them.

use super::context::{Gpu, lock};
use super::queue::Recorder;
use crate::bail;
use crate::error::Result;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Bytes of the words: the number of who complains (0: nobody), then a long value and the size it does not lie below.
pub(super) const BYTES: u64 = 16;

pub(super) struct Faults {
    pub buffer: wgpu::Buffer,
    /// Whether a kernel that may tell of a fault was recorded since the words were last read.
    possible: AtomicBool,
    /// Who complains: number n is at n − 1.
    names: Mutex<Vec<&'static str>>,
}

impl Faults {
    pub fn new(device: &wgpu::Device) -> Faults {
        use wgpu::BufferUsages as Usage;
        // wgpu hands out zeros.
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("faults"),
            size: BYTES,
            usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        Faults { buffer, possible: AtomicBool::new(false), names: Mutex::new(Vec::new()) }
    }

    pub fn expect(&self) {
        self.possible.store(true, Relaxed);
    }

    /// Whether a read must bring the words along.
    pub fn is_possible(&self) -> bool {
        self.possible.load(Relaxed)
    }
}

impl Gpu {
    /// The number by which kernels of that operation tell of a fault.
    pub fn fault_number(&self, operation: &'static str) -> u32 {
        let mut names = lock(&self.faults.names);
        let known = names.iter().position(|name| *name == operation);
        known.unwrap_or_else(|| {
            names.push(operation);
            names.len() - 1
        }) as u32
            + 1
    }

    /// Looks at words that were read: a fault becomes ERR_ARGUMENT, once.
    pub(super) fn check_faults(&self, bytes: &[u8]) -> Result<()> {
        let word = |i: usize| u32::from_le_bytes([bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]]);
        let Some(number) = (word(0) as usize).checked_sub(1) else {
            return Ok(());
        };
        lock(&self.recorder).clear(self, &self.faults.buffer);
        let name = lock(&self.faults.names).get(number).copied().unwrap_or("a kernel");
        let index = (i64::from(word(2) as i32) << 32) | i64::from(word(1));
        bail!(
            Argument,
            "{name}: index {index} does not lie in 0..{} (found on {} after the call; what was computed with it is wrong)",
            word(3),
            self.name()
        )
    }
}

impl Recorder {
    /// Zeros in a buffer, in the order of recording.
    fn clear(&mut self, gpu: &Gpu, buffer: &wgpu::Buffer) {
        self.encode(gpu, |encoder| encoder.clear_buffer(buffer, 0, None));
    }
}
