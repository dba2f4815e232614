//! Timings of the CPU kernels alone:
//! `cargo bench --no-default-features --bench kernels -- [filter] [--threads N] [--isa NAME] [--processor-time]`.
//! With `--processor-time` one thread works and only the time it was running counts: what neighbours on a shared machine
//! disturb least.
#![allow(clippy::print_stdout)]

use stable_pretraining_core::cpu::conv::Conv2d;
use stable_pretraining_core::cpu::dispatch::{Isa, force_isa, isa};
use stable_pretraining_core::cpu::gemm::{Matrix, Update, gemm};
use stable_pretraining_core::cpu::threads::{num_threads, parallel_for, set_num_threads};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// Whether the clock is that of the thread and not that on the wall.
static PROCESSOR_TIME: AtomicBool = AtomicBool::new(false);

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut filter = String::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value after the flag");
        match argument.as_str() {
            "--threads" => set_num_threads(value().parse().expect("a number of threads")),
            "--processor-time" => {
                if !cfg!(target_os = "linux") {
                    panic!("--processor-time needs Linux");
                }
                PROCESSOR_TIME.store(true, Relaxed);
                set_num_threads(1);
            }
            "--isa" => {
                let name = value();
                let choice = Isa::from_name(&name).expect("portable, avx2, avx512 or neon");
                assert!(force_isa(Some(choice)), "this machine cannot run {name}");
            }
            _ => filter = argument,
        }
    }
    println!("{} threads, {}", num_threads(), isa().name());
    let wanted = |name: &str| name.contains(&filter);

    if wanted("threads") {
        let [seconds, _] = median_seconds(|| (0..1000).for_each(|_| parallel_for(num_threads(), |_| {})));
        println!("{:<44} {:>9.2} µs a call", "threads, empty job", seconds * 1e3);
    }
    for (m, n, k) in [
        (1024, 1024, 1024),
        (2048, 2048, 2048),
        (8320, 192, 192),
        (8320, 768, 192),
        (128, 512, 512),
        (256, 256, 256),
        (96, 1024, 256),
    ] {
        let name = format!("gemm {m}×{n}×{k}");
        if !wanted(&name) {
            continue;
        }
        let (a, b, mut c) = (numbers(m * k), numbers(n * k), vec![0.0; m * n]);
        let flops = 2.0 * (m * n * k) as f64;
        let a = Matrix::row_major(&a, k);
        for (layout, b) in [("", Matrix::row_major(&b, n)), (", B transposed", Matrix::row_major(&b, k).transposed())] {
            let seconds = median_seconds(|| gemm([m, n, k], 1.0, a, b, Update::Overwrite, &mut c, n));
            report(&format!("{name}{layout}"), seconds, flops);
        }
    }
    for (m, n, k) in [(192, 768, 8320), (64, 576, 65536), (64, 64, 65536)] {
        let name = format!("gemm {m}×{n}×{k}, A transposed");
        if wanted(&name) {
            let (a, b, mut c) = (numbers(m * k), numbers(n * k), vec![0.0; m * n]);
            let (a, b) = (Matrix::row_major(&a, m).transposed(), Matrix::row_major(&b, n));
            let seconds = median_seconds(|| gemm([m, n, k], 1.0, a, b, Update::Overwrite, &mut c, n));
            report(&name, seconds, 2.0 * (m * n * k) as f64);
        }
    }
    let square = |channels: usize, size: usize| Conv2d {
        batch: 64,
        in_channels: channels,
        out_channels: channels,
        height: size,
        width: size,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
        dilation: [1, 1],
        groups: 1,
    };
    let stem = Conv2d { in_channels: 3, ..square(64, 32) };
    let halving = Conv2d { out_channels: 128, stride: [2, 2], ..square(64, 32) };
    let shortcut = Conv2d { kernel: [1, 1], padding: [0, 0], ..halving };
    let pointwise = Conv2d { kernel: [1, 1], padding: [0, 0], ..square(64, 32) };
    let depthwise = Conv2d { groups: 64, ..square(64, 32) };
    for (name, conv) in [
        ("64→64@32²", square(64, 32)),
        ("128→128@16²", square(128, 16)),
        ("256→256@8²", square(256, 8)),
        ("512→512@4²", square(512, 4)),
        ("stem 3→64@32²", stem),
        ("64→128@32² stride 2", halving),
        ("1×1 64→128@32² stride 2", shortcut),
        ("1×1 64→64@32²", pointwise),
        ("depthwise 64@32²", depthwise),
    ] {
        let flops = 2.0 * (conv.output_len() * conv.in_group() * conv.kernel[0] * conv.kernel[1]) as f64;
        let (x, weight, y) = (numbers(conv.input_len()), numbers(conv.weight_len()), numbers(conv.output_len()));
        let (mut dx, mut dw, mut out) = (x.clone(), weight.clone(), y.clone());
        let case = |direction: &str, run: &mut dyn FnMut()| {
            let name = format!("conv {name} {direction}");
            if wanted(&name) {
                report(&name, median_seconds(run), flops);
            }
        };
        case("forward", &mut || conv.forward(&x, &weight, None, &mut out));
        case("input gradient", &mut || conv.input_gradient(&y, &weight, &mut dx));
        case("weight gradient", &mut || conv.weight_gradient(&x, &y, &mut dw));
    }
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1024) as f32 / 512.0 - 1.0).collect()
}

/// Median and fastest of repetitions that take about a second together, after one to warm up.
fn median_seconds(mut run: impl FnMut()) -> [f64; 2] {
    run();
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || (start.elapsed().as_secs_f64() < 1.0 && seconds.len() < 200) {
        let before = now(start);
        run();
        seconds.push(now(start) - before);
    }
    seconds.sort_by(f64::total_cmp);
    [seconds[seconds.len() / 2], seconds[0]]
}

/// Seconds on the clock in use.
fn now(start: Instant) -> f64 {
    #[cfg(target_os = "linux")]
    if PROCESSOR_TIME.load(Relaxed) {
        /// `struct timespec` of 64-bit Linux.
        #[repr(C)]
        struct Time {
            seconds: i64,
            nanoseconds: i64,
        }
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut Time) -> i32;
        }
        const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
        let mut time = Time { seconds: 0, nanoseconds: 0 };
        // SAFETY: the pointer is to a timespec, which the call fills.
        let failed = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(failed, 0, "the clock of the thread can be read");
        return time.seconds as f64 + time.nanoseconds as f64 * 1e-9;
    }
    start.elapsed().as_secs_f64()
}

/// The fastest stands beside the median: on a shared machine it is the figure without the neighbours.
fn report(name: &str, [median, fastest]: [f64; 2], flops: f64) {
    let rate = |seconds: f64| flops / seconds / 1e9;
    println!(
        "{name:<44} median {:>9.3} ms {:>7.1} GFLOP/s, fastest {:>9.3} ms {:>7.1} GFLOP/s",
        median * 1e3,
        rate(median),
        fastest * 1e3,
        rate(fastest)
    );
}
