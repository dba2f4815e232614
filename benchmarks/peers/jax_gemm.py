"""Matrix products by JAX (XLA's own kernels on a CPU), float32 or bfloat16. usage: jax_gemm.py M K N fp32|bf16-mixed"""

import os
import sys

import turns

# XLA takes a thread for each core it may use.
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: turns.threads()])
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

m, k, n = map(int, sys.argv[1:4])
dtype = jnp.bfloat16 if sys.argv[4] == "bf16-mixed" else jnp.float32
keys = jax.random.split(jax.random.key(0))
a, b = jax.random.normal(keys[0], (m, k), dtype), jax.random.normal(keys[1], (k, n), dtype)
product = jax.jit(jnp.matmul)
turns.serve(f"jax-{jax.__version__}", lambda: product(a, b).block_until_ready(), warm=4)
