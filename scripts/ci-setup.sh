#!/usr/bin/env bash
# Makes a new Debian machine able to build and test: a linker, Python (for the tests beside NumPy and onnxruntime), a
# Vulkan driver, Node >= 20.19, Rust. Installs only what is missing.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
command -v git >/dev/null || missing+=(git)
command -v curl >/dev/null || missing+=(curl ca-certificates)
# A Vulkan driver that runs on the CPU: what the kernels for GPUs are tested on.
ls /usr/share/vulkan/icd.d/lvp_icd.* >/dev/null 2>&1 || missing+=(mesa-vulkan-drivers libvulkan1)
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  as_root=$([ "$(id -u)" -eq 0 ] || echo sudo)
  $as_root apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

if ! command -v node >/dev/null || ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "Node 20.19 or newer is needed: install it from https://nodejs.org and run this again." >&2
  exit 1
fi
if ! command -v cargo >/dev/null; then
  echo "Rust is needed: install it from https://rustup.rs and run this again." >&2
  exit 1
fi
