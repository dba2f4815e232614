// Two words over and over: a value of 8 bytes, or of 4 or less repeated.

@group(0) @binding(1) var<storage, read_write> out: array<u32>;

fn each(i: u32) {
    if (i < p(0u)) { out[i] = p(1u + i % 2u); }
}
