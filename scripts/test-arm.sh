#!/usr/bin/env bash
# The kernels' tests as AArch64 code with NEON, under emulation. Debian: apt-get install qemu-user gcc-aarch64-linux-gnu;
# rustup target add aarch64-unknown-linux-gnu. Arguments are names of tests (default: products, convolutions, vectors,
# neighbours).
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
tests=("$@")
[ ${#tests[@]} -gt 0 ] || tests=(cpu::dispatch cpu::vector cpu::tile cpu::gemm:: cpu::winograd cpu::nearest cpu::math)
exec cargo test --no-default-features --lib --target aarch64-unknown-linux-gnu -- "${tests[@]}"
