//! Timings of the CPU kernels alone: `cargo bench --no-default-features --bench kernels -- [filter] [--threads N] [--isa NAME]`.
#![allow(clippy::print_stdout)]

use stable_pretraining_core::cpu::dispatch::{Isa, force_isa, isa};
use stable_pretraining_core::cpu::gemm::{Matrix, Update, gemm};
use stable_pretraining_core::cpu::threads::{num_threads, parallel_for, set_num_threads};
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let mut filter = String::new();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value after the flag");
        match argument.as_str() {
            "--threads" => set_num_threads(value().parse().expect("a number of threads")),
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
        let seconds = median_seconds(|| (0..1000).for_each(|_| parallel_for(num_threads(), |_| {})));
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
}

fn numbers(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919) % 1024) as f32 / 512.0 - 1.0).collect()
}

/// The median of repetitions that take about a second together, after one to warm up.
fn median_seconds(mut run: impl FnMut()) -> f64 {
    run();
    let start = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < 5 || (start.elapsed().as_secs_f64() < 1.0 && seconds.len() < 200) {
        let start = Instant::now();
        run();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    // The fastest stands beside the median: on a shared machine it is the figure without the neighbours.
    println!("{:>54} fastest {:.3} ms", "", seconds[0] * 1e3);
    seconds[seconds.len() / 2]
}

fn report(name: &str, seconds: f64, flops: f64) {
    println!("{name:<44} {:>9.3} ms {:>8.1} GFLOP/s", seconds * 1e3, flops / seconds / 1e9);
}
