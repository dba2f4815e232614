//! The thread pool: every task once, panics, nesting, numbers of threads.

use super::super::cases::with_threads;
use super::*;

#[test]
fn every_task_runs_once() {
    for tasks in [0, 1, 2, 3, 7, 64, 1000] {
        let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
        parallel_for(tasks, |i| {
            counts[i].fetch_add(1, Relaxed);
        });
        assert!(counts.iter().all(|count| count.load(Relaxed) == 1), "{tasks} tasks");
    }
}

#[test]
fn ranges_cover_without_overlap_and_do_not_depend_on_threads() {
    for (len, min_chunk) in [(0, 1), (1, 1), (5, 10), (100, 7), (100_000, 1), (1 << 20, 1000), (63, 0)] {
        let seen = Mutex::new(Vec::new());
        parallel_ranges(len, min_chunk, |range| seen.lock().unwrap().push(range));
        let mut seen = seen.into_inner().unwrap();
        seen.sort_by_key(|range| range.start);
        assert!(seen.len() <= MAX_RANGES);
        assert_eq!(seen.iter().map(|range| range.len()).sum::<usize>(), len);
        let chunk = range_chunk(len, min_chunk);
        for (i, range) in seen.iter().enumerate() {
            assert_eq!(range.start, i * chunk);
            assert!(range.len() >= min_chunk || i + 1 == seen.len());
        }
    }
}

#[test]
fn nested_calls_run_inline() {
    let total = AtomicUsize::new(0);
    parallel_for(8, |_| {
        let thread = std::thread::current().id();
        parallel_for(8, |_| {
            assert_eq!(std::thread::current().id(), thread);
            total.fetch_add(1, Relaxed);
        });
    });
    assert_eq!(total.into_inner(), 64);
}

#[test]
fn callers_on_many_threads_all_finish() {
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2000 {
                    parallel_for(3, |_| {
                        total.fetch_add(1, Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 4 * 2000 * 3);
}

#[test]
fn a_panic_reaches_the_caller_after_all_tasks_and_the_pool_survives() {
    for _ in 0..20 {
        let ended = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            parallel_for(16, |i| {
                if i == 5 {
                    panic!("task {i} fails");
                }
                std::thread::sleep(Duration::from_micros(50));
                ended.fetch_add(1, Relaxed);
            })
        }));
        let message = result.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*message, "task 5 fails");
        // Inline (one thread, or the pool busy with another test) the panic ends the loop at once.
        assert!([15, 5].contains(&ended.into_inner()));
    }
    let total = AtomicUsize::new(0);
    parallel_for(10, |_| {
        total.fetch_add(1, Relaxed);
    });
    assert_eq!(total.into_inner(), 10);
}

#[test]
fn thread_counts_can_change_between_jobs() {
    for threads in [1, 4, 2, 7, 3] {
        with_threads(threads, || {
            for _ in 0..50 {
                let total = AtomicUsize::new(0);
                parallel_for(100, |i| {
                    total.fetch_add(i, Relaxed);
                });
                assert_eq!(total.into_inner(), 4950);
            }
        });
    }
    with_threads(0, || assert_eq!(num_threads(), 1));
}
