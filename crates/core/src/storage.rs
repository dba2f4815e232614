//! Memory of tensors: 64-byte aligned buffers from a pool that reuses what was freed, with counters.
//! It knows bytes and element types, not shapes. A storage may also be a buffer of a GPU, which host code cannot see into.

use crate::bail;
use crate::device::Device;
use crate::dtype::Element;
#[cfg(feature = "gpu")]
use crate::error::Error;
use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::GpuBuffer;
use std::alloc::Layout as AllocLayout;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Start address of every buffer: a cache line, and the widest vector register.
pub const ALIGNMENT: usize = 64;

/// What the pool holds and what it gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStatistics {
    /// Buffers in use.
    pub live_buffers: usize,
    /// Bytes in use.
    pub live_bytes: usize,
    /// The most bytes that were in use at once since the last `reset_peak`.
    pub peak_bytes: usize,
    /// Bytes that were freed and wait to be used again.
    pub pooled_bytes: usize,
}

static LIVE_BUFFERS: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);
static POOL: Mutex<Pool> = Mutex::new(Pool { free: BTreeMap::new(), bytes: 0 });

pub fn memory_statistics() -> MemoryStatistics {
    MemoryStatistics {
        live_buffers: LIVE_BUFFERS.load(Relaxed),
        live_bytes: LIVE_BYTES.load(Relaxed),
        peak_bytes: PEAK_BYTES.load(Relaxed),
        pooled_bytes: lock_pool().bytes,
    }
}

pub fn reset_peak() {
    PEAK_BYTES.store(LIVE_BYTES.load(Relaxed), Relaxed);
}

/// Hands every waiting buffer back to the system.
pub fn release_pool() {
    lock_pool().trim(0);
}

struct Pool {
    /// Addresses of free buffers by capacity.
    free: BTreeMap<usize, Vec<usize>>,
    bytes: usize,
}

fn lock_pool() -> std::sync::MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Pool {
    fn take(&mut self, capacity: usize) -> Option<NonNull<u8>> {
        let list = self.free.get_mut(&capacity)?;
        let address = list.pop()?;
        if list.is_empty() {
            self.free.remove(&capacity);
        }
        self.bytes -= capacity;
        NonNull::new(address as *mut u8)
    }

    fn put(&mut self, pointer: NonNull<u8>, capacity: usize) {
        self.free.entry(capacity).or_default().push(pointer.as_ptr() as usize);
        self.bytes += capacity;
        // What waits never exceeds the most that was ever in use: changing shapes cannot grow the pool without end.
        self.trim(PEAK_BYTES.load(Relaxed).max(1 << 20));
    }

    /// Frees the largest buffers until at most `limit` bytes wait.
    fn trim(&mut self, limit: usize) {
        while self.bytes > limit {
            let Some((&capacity, _)) = self.free.iter().next_back() else { return };
            if let Some(pointer) = self.take(capacity) {
                // SAFETY: the pointer came from `alloc_zeroed` with this very layout and nobody uses it.
                unsafe { std::alloc::dealloc(pointer.as_ptr(), allocation(capacity)) }
            }
        }
    }
}

fn allocation(capacity: usize) -> AllocLayout {
    AllocLayout::from_size_align(capacity, ALIGNMENT).expect("capacities are checked when they are chosen")
}

/// Sizes are rounded up to one of eight steps between two powers of two, so that similar sizes share buffers.
fn capacity_for(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 16).max(ALIGNMENT);
    bytes.div_ceil(step) * step
}

/// Bytes somebody owns. Its memory is always initialised (zeros, or what its last owner left).
pub struct Storage {
    memory: Memory,
    bytes: usize,
    /// Raised by each write in place, so that a backward pass can tell that a value it needs was overwritten.
    version: AtomicU64,
}

enum Memory {
    Host {
        pointer: NonNull<u8>,
        capacity: usize,
    },
    #[cfg(feature = "gpu")]
    Gpu(GpuBuffer),
}

// SAFETY: the bytes are plain data; writes go through `Buffer` (unique) or `Tensor::update` (single thread by design).
unsafe impl Send for Storage {}
// SAFETY: as above; shared access is reading.
unsafe impl Sync for Storage {}

impl Storage {
    pub fn new(bytes: usize) -> Result<Storage> {
        if bytes > (isize::MAX as usize) / 2 {
            bail!(Memory, "a tensor of {bytes} bytes is larger than the address space");
        }
        let capacity = capacity_for(bytes.max(1));
        let pooled = lock_pool().take(capacity);
        let pointer = match pooled {
            Some(pointer) => pointer,
            None => {
                // SAFETY: the size is not zero and the alignment a power of two.
                let fresh = || NonNull::new(unsafe { std::alloc::alloc_zeroed(allocation(capacity)) });
                let found = fresh().or_else(|| {
                    release_pool();
                    fresh()
                });
                let Some(pointer) = found else {
                    bail!(
                        Memory,
                        "no memory for a tensor of {bytes} bytes; {} bytes are in use by live tensors. \
                         Use a smaller batch, or free tensors with scope()",
                        LIVE_BYTES.load(Relaxed)
                    )
                };
                pointer
            }
        };
        LIVE_BUFFERS.fetch_add(1, Relaxed);
        let live = LIVE_BYTES.fetch_add(capacity, Relaxed) + capacity;
        PEAK_BYTES.fetch_max(live, Relaxed);
        Ok(Storage { memory: Memory::Host { pointer, capacity }, bytes, version: AtomicU64::new(0) })
    }

    /// Takes a buffer of a GPU.
    #[cfg(feature = "gpu")]
    pub fn on_gpu(buffer: GpuBuffer) -> Storage {
        let bytes = buffer.bytes() as usize;
        Storage { memory: Memory::Gpu(buffer), bytes, version: AtomicU64::new(0) }
    }

    pub fn device(&self) -> Device {
        match &self.memory {
            Memory::Host { .. } => Device::Cpu,
            #[cfg(feature = "gpu")]
            Memory::Gpu(buffer) => Device::Gpu(buffer.gpu().clone()),
        }
    }

    /// The buffer, where it lies on a GPU.
    #[cfg(feature = "gpu")]
    pub fn gpu(&self) -> Option<&GpuBuffer> {
        match &self.memory {
            Memory::Host { .. } => None,
            Memory::Gpu(buffer) => Some(buffer),
        }
    }

    pub fn is_host(&self) -> bool {
        matches!(self.memory, Memory::Host { .. })
    }

    fn pointer(&self) -> NonNull<u8> {
        match &self.memory {
            Memory::Host { pointer, .. } => *pointer,
            #[cfg(feature = "gpu")]
            Memory::Gpu(_) => unseen(self),
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn version(&self) -> u64 {
        self.version.load(Relaxed)
    }

    pub fn raise_version(&self) {
        self.version.fetch_add(1, Relaxed);
    }

    /// All elements, in storage order.
    pub fn slice<T: Element>(&self) -> &[T] {
        // SAFETY: the memory is initialised, aligned to 64, holds `bytes` bytes, and every bit pattern is a T.
        unsafe { std::slice::from_raw_parts(self.pointer().as_ptr().cast(), self.bytes / size_of::<T>()) }
    }

    /// All elements for writing.
    ///
    /// # Safety
    /// No other slice of this storage may be in use while the result is.
    #[expect(clippy::mut_from_ref, reason = "uniqueness is the caller's promise, see Safety")]
    pub unsafe fn slice_mut<T: Element>(&self) -> &mut [T] {
        // SAFETY: as for `slice`; the caller promises uniqueness.
        unsafe { std::slice::from_raw_parts_mut(self.pointer().as_ptr().cast(), self.bytes / size_of::<T>()) }
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        match self.memory {
            Memory::Host { pointer, capacity } => {
                LIVE_BUFFERS.fetch_sub(1, Relaxed);
                LIVE_BYTES.fetch_sub(capacity, Relaxed);
                lock_pool().put(pointer, capacity);
            }
            #[cfg(feature = "gpu")]
            Memory::Gpu(_) => {}
        }
    }
}

/// Ends a kernel of the CPU that met memory of a GPU: `op::guard` makes the error of it that names the operation.
#[cfg(feature = "gpu")]
fn unseen(storage: &Storage) -> ! {
    let error = Error::Unsupported(format!("runs on the CPU only, and a tensor is on {}", storage.device().name()));
    std::panic::resume_unwind(Box::new(error))
}

/// A fresh run of elements with one owner: what kernels write into before it becomes a tensor.
/// Its content is unspecified (but initialised) until written.
pub struct Buffer<T> {
    storage: Storage,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub fn new(length: usize) -> Result<Buffer<T>> {
        let Some(bytes) = length.checked_mul(size_of::<T>()) else {
            bail!(Memory, "a tensor of {length} elements is larger than the address space")
        };
        Ok(Buffer { storage: Storage::new(bytes)?, element: PhantomData })
    }

    pub fn zeroed(length: usize) -> Result<Buffer<T>> {
        Self::filled(length, T::default())
    }

    pub fn filled(length: usize, value: T) -> Result<Buffer<T>> {
        let mut buffer = Self::new(length)?;
        buffer.fill(value);
        Ok(buffer)
    }

    pub fn into_storage(self) -> Storage {
        self.storage
    }
}

impl<T: Element> std::ops::Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.storage.slice()
    }
}

impl<T: Element> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: a Buffer is the only owner of its storage and is borrowed mutably here.
        unsafe { self.storage.slice_mut() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_sizes_share_classes() {
        for length in [0, 1, 3, 1000, 1 << 20] {
            let buffer = Buffer::<f32>::new(length).unwrap();
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(buffer.len(), length);
        }
        assert_eq!(capacity_for(1_000_000), capacity_for(1_010_000));
        assert!(capacity_for(1_000_000) <= 1_125_000);
    }

    #[test]
    fn impossible_sizes_are_errors() {
        let error = Storage::new(usize::MAX / 4).err().expect("no machine has that");
        assert_eq!(error.code(), "ERR_MEMORY");
        assert!(Buffer::<f64>::new(usize::MAX).is_err());
    }
}
