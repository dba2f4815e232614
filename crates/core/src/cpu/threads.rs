//! A small persistent thread pool for short, data-parallel kernels. It is no task system: one job at a time, no futures.
//!
//! Promise: the list of tasks is fixed before the first one starts and never depends on the number of threads or on
//! timing. A kernel whose task `i` writes only its own part of the output therefore gives the same bits on every run
//! and for every thread count. Which thread runs a task is free: each has its own share and then helps the others.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// More threads than this are never used.
pub const MAX_THREADS: usize = 256;

/// The most pieces that [`parallel_ranges`] cuts a range into.
pub const MAX_RANGES: usize = 64;

/// How long a thread that waits keeps its core before it sleeps: longer than the gap between two ops of a training
/// step (a few µs), short enough that image workers on the same cores do not notice.
const SPIN: Duration = Duration::from_micros(30);

/// The number of threads that share a job, the calling one included. At first the number of cores this process may use.
pub fn num_threads() -> usize {
    match POOL.threads.load(Relaxed) {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, |n| n.get()).min(MAX_THREADS);
            // Another thread may have set a number meanwhile: that one stays.
            match POOL.threads.compare_exchange(0, cores, Relaxed, Relaxed) {
                Ok(_) => cores,
                Err(set) => set,
            }
        }
        n => n,
    }
}

/// Sets the number of threads of later jobs, clamped to 1..=[`MAX_THREADS`]. Results never depend on it.
pub fn set_num_threads(threads: usize) {
    POOL.threads.store(threads.clamp(1, MAX_THREADS), Relaxed);
}

/// Runs `run(0)`, …, `run(tasks - 1)`, each exactly once, on all threads of the pool and the calling one; returns when
/// all have ended. Inside a task, or while another thread's job occupies the pool, the tasks run inline in order.
///
/// # Panics
/// If a task panics the others still run, then the first panic continues in the caller. The pool stays usable.
pub fn parallel_for(tasks: usize, run: impl Fn(usize) + Sync) {
    let threads = num_threads().min(tasks);
    if threads <= 1 || INSIDE.get() {
        return (0..tasks).for_each(run);
    }
    let workers = match POOL.workers.try_lock() {
        Ok(guard) => guard,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return (0..tasks).for_each(run),
    };
    POOL.run(workers, threads, tasks, &run);
}

/// Cuts `0..len` into pieces of at least `min_chunk` elements (the last may be shorter) and runs `run` on each in
/// parallel. The cuts depend on `len` and `min_chunk` alone, so a reduction that combines its pieces in order has the
/// same bits for every thread count. At most [`MAX_RANGES`] pieces; none when `len` is 0.
pub fn parallel_ranges(len: usize, min_chunk: usize, run: impl Fn(Range<usize>) + Sync) {
    ranges(len, min_chunk, &run);
}

/// Behind the reference this is compiled once, not once a caller.
fn ranges(len: usize, min_chunk: usize, run: &(dyn Fn(Range<usize>) + Sync)) {
    let chunk = range_chunk(len, min_chunk);
    parallel_for(len.div_ceil(chunk), |i| run(i * chunk..((i + 1) * chunk).min(len)));
}

/// The length of the pieces (all but the last) that [`parallel_ranges`] makes of `0..len`; piece `i` starts at
/// `i * range_chunk(len, min_chunk)`. For reductions that need a slot for each piece.
pub fn range_chunk(len: usize, min_chunk: usize) -> usize {
    let chunk = len.div_ceil(MAX_RANGES).max(min_chunk).max(1);
    // Long pieces begin on whole cache lines, so that two threads never write into one line of a dense array.
    if chunk >= 1024 { chunk.next_multiple_of(64) } else { chunk }
}

/// As [`parallel_ranges`] over a slice that is written: each piece comes with the index of its first element.
pub fn parallel_chunks<T: Send>(out: &mut [T], min_chunk: usize, run: impl Fn(usize, &mut [T]) + Sync) {
    let length = out.len();
    let shared = SharedPointer::new(out);
    parallel_ranges(length, min_chunk, |range| {
        // SAFETY: the ranges are disjoint parts of `out`, which is borrowed until all of them have ended.
        run(range.start, unsafe { shared.slice(range) });
    });
}

/// A raw pointer that tasks may share. The one who makes it promises that tasks touch disjoint elements.
pub struct SharedPointer<T>(*mut T);

impl<T> SharedPointer<T> {
    /// Wraps the start of a slice that several tasks will write, each its own part.
    pub fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    /// Wraps the start of memory that several tasks will write, each its own part.
    pub fn from_raw(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// The pointer itself; using it is as unsafe as using any raw pointer.
    pub fn get(&self) -> *mut T {
        self.0
    }

    /// The part `range` of the slice.
    ///
    /// # Safety
    /// `range` lies within the slice this was made of, which outlives the result, and no other task uses that part.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        // SAFETY: the caller promises bounds, life and that nobody else holds this part.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(range.start), range.len()) }
    }
}

// SAFETY: only an address is shared; whoever dereferences it promises disjoint use.
unsafe impl<T: Send> Send for SharedPointer<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedPointer<T> {}

thread_local! {
    /// True while this thread runs tasks: nested calls then run inline.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

static POOL: Pool = Pool {
    threads: AtomicUsize::new(0),
    workers: Mutex::new(Vec::new()),
    gate: AtomicU64::new(CLOSED),
    job: UnsafeCell::new(None),
    next: [const { Counter(AtomicUsize::new(0)) }; MAX_THREADS],
    panic: Mutex::new(None),
    waiting_caller: Mutex::new(None),
};

struct Pool {
    /// 0 until first asked.
    threads: AtomicUsize,
    /// Locked by the thread whose job occupies the pool.
    workers: Mutex<Vec<Arc<Worker>>>,
    /// Epoch of the job (high half), whether workers may still enter it, and how many are inside (low bits).
    /// A worker that wakes late finds the gate closed: nobody waits for it.
    gate: AtomicU64,
    /// Written only while the gate is closed and nobody is inside.
    job: UnsafeCell<Option<Job>>,
    /// For each thread of the job, the next task of its share that nobody has taken.
    next: [Counter; MAX_THREADS],
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    waiting_caller: Mutex<Option<Thread>>,
}

// SAFETY: `job` is the only part that is not Sync, and the gate orders its writes before its reads.
unsafe impl Sync for Pool {}

const INSIDE_MASK: u64 = 0xffff;
const CLOSED: u64 = 1 << 16;
const EPOCH: u64 = 1 << 32;

#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    tasks: usize,
    threads: usize,
}

/// Alone in its cache line: each thread counts through its own share without disturbing the others.
#[repr(align(64))]
struct Counter(AtomicUsize);

struct Worker {
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Pool {
    fn run(
        &'static self,
        mut workers: MutexGuard<'_, Vec<Arc<Worker>>>,
        threads: usize,
        tasks: usize,
        run: &(dyn Fn(usize) + Sync),
    ) {
        while workers.len() < threads - 1 {
            // Where the system gives no more threads, those that are there do the work.
            let Some(worker) = self.spawn(workers.len() + 1) else { break };
            workers.push(worker);
        }
        for thread in 0..threads {
            self.next[thread].0.store(tasks * thread / threads, Relaxed);
        }
        // SAFETY: erases the lifetime. `run` outlives the job: this function returns only after the gate is closed
        // and everyone has left.
        let run: *const (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(run) };
        let job = Job { run, tasks, threads };
        // SAFETY: the gate is closed and empty (the previous job's caller waited for that), and `workers` is locked.
        unsafe { *self.job.get() = Some(job) };
        let epoch = (self.gate.load(Relaxed) & !(EPOCH - 1)).wrapping_add(EPOCH);
        self.gate.store(epoch, SeqCst);
        for worker in workers.iter().take(threads - 1) {
            if worker.asleep.load(SeqCst)
                && let Some(thread) = worker.thread.get()
            {
                thread.unpark();
            }
        }

        INSIDE.set(true);
        self.work(job, 0);
        INSIDE.set(false);

        // All tasks are taken; those who took them are still inside.
        self.gate.fetch_or(CLOSED, AcqRel);
        self.wait_until_left();
        let panic = lock(&self.panic).take();
        drop(workers);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Runs this thread's share of the tasks, then what is left of the others'.
    fn work(&self, job: Job, me: usize) {
        for offset in 0..job.threads {
            let share = (me + offset) % job.threads;
            let end = job.tasks * (share + 1) / job.threads;
            while self.next[share].0.load(Relaxed) < end {
                let task = self.next[share].0.fetch_add(1, Relaxed);
                if task >= end {
                    break;
                }
                // SAFETY: the closure lives until everyone has left the gate, and this thread has not.
                let run = unsafe { &*job.run };
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| run(task))) {
                    lock(&self.panic).get_or_insert(payload);
                }
            }
        }
    }

    fn wait_until_left(&self) {
        let left = || self.gate.load(Acquire) & INSIDE_MASK == 0;
        if spin_until(left) {
            return;
        }
        *lock(&self.waiting_caller) = Some(std::thread::current());
        while !left() {
            std::thread::park();
        }
        *lock(&self.waiting_caller) = None;
    }

    fn spawn(&'static self, index: usize) -> Option<Arc<Worker>> {
        let worker = Arc::new(Worker { asleep: AtomicBool::new(false), thread: std::sync::OnceLock::new() });
        let own = worker.clone();
        let seen = self.gate.load(Relaxed) & !(EPOCH - 1);
        let name = format!("spt-kernel-{index}");
        let handle = std::thread::Builder::new().name(name).spawn(move || self.serve(index, &own, seen)).ok()?;
        worker.thread.set(handle.thread().clone()).ok()?;
        Some(worker)
    }

    /// The life of worker `index`: wait for a new epoch, enter, work, leave.
    fn serve(&self, index: usize, worker: &Worker, mut seen: u64) {
        INSIDE.set(true);
        loop {
            let is_new = || self.gate.load(SeqCst) & !(EPOCH - 1) != seen;
            if index >= self.threads.load(Relaxed) || !spin_until(is_new) {
                worker.asleep.store(true, SeqCst);
                while !is_new() {
                    std::thread::park();
                }
                worker.asleep.store(false, SeqCst);
            }
            let mut gate = self.gate.load(Relaxed);
            seen = gate & !(EPOCH - 1);
            while gate & CLOSED == 0 && gate & !(EPOCH - 1) == seen {
                if let Err(current) = self.gate.compare_exchange_weak(gate, gate + 1, AcqRel, Relaxed) {
                    gate = current;
                    continue;
                }
                // SAFETY: the gate was open when this thread entered: the job was written before it opened and will
                // not be written again before this thread leaves.
                if let Some(job) = unsafe { *self.job.get() } {
                    self.work(job, index);
                }
                let before = self.gate.fetch_sub(1, AcqRel);
                if before & CLOSED != 0
                    && before & INSIDE_MASK == 1
                    && let Some(caller) = lock(&self.waiting_caller).as_ref()
                {
                    caller.unpark();
                }
                break;
            }
        }
    }
}

/// Polls `done` for at most [`SPIN`]; whether it came true.
fn spin_until(done: impl Fn() -> bool) -> bool {
    if done() {
        return true;
    }
    let start = Instant::now();
    while start.elapsed() < SPIN {
        for _ in 0..16 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
    }
    done()
}

/// No panic happens while these locks are held, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
