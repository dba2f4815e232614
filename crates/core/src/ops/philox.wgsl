// Random numbers by counting, as in random.rs: Philox 4x32-10, whose words and uniform numbers have the bits of the CPU. Seed,
// stream and the number of a block of four words are 64 bits each.

fn philox(seed: vec2<u32>, stream: vec2<u32>, block: vec2<u32>) -> vec4<u32> {
    var c = vec4<u32>(block, stream);
    var key = seed;
    for (var round = 0u; round < 10u; round += 1u) {
        let first = wide_mul(0xD2511F53u, c.x);
        let second = wide_mul(0xCD9E8D57u, c.z);
        c = vec4<u32>(second.y ^ c.y ^ key.x, second.x, first.y ^ c.w ^ key.y, first.x);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return c;
}

// A whole number below 2^24 times 2^-24: exact.
fn uniform_from(word: u32) -> f32 { return f32(word >> 8u) * 5.9604644775390625e-8; }

// cos(2 pi u) for u in [0, 1): drivers promise three digits of cos, these polynomials seven. To the nearest quarter turn
// and what is left of it, which is exact.
fn cos_turns(u: f32) -> f32 {
    let quarter = floor(4.0 * u + 0.5);
    let x = (u - 0.25 * quarter) * 6.283185307179586;
    let z = x * x;
    let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
    let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * x + x;
    let q = u32(quarter) & 3u;
    let size = select(c, s, (q & 1u) == 1u);
    return select(size, -size, q == 1u || q == 2u);
}

fn normal_from(first: u32, second: u32) -> f32 {
    let radius = sqrt(-2.0 * m_log(f32((first >> 8u) + 1u) * 5.9604644775390625e-8));
    return radius * cos_turns(uniform_from(second));
}
