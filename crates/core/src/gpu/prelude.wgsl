// Names that every kernel has. Buffers are bindings from 1 on, in the order of the call.

@group(0) @binding(0) var<uniform> parameters: array<vec4<u32>, 16>;

// Parameter i, as a whole number and as a float.
fn p(i: u32) -> u32 { return parameters[i / 4u][i % 4u]; }
fn pf(i: u32) -> f32 { return bitcast<f32>(p(i)); }

// The number of an invocation of workgroups (size, 1, 1) that are spread over two dimensions.
fn invocation(group: vec3<u32>, groups: vec3<u32>, local: u32, size: u32) -> u32 {
    return (group.y * groups.x + group.x) * size + local;
}

// Drivers may assume that no float is NaN; bits are what they are.
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }
fn nan() -> f32 { return bitcast<f32>(0x7fc00000u | (parameters[0].x & 0u)); }
fn infinity() -> f32 { return bitcast<f32>(0x7f800000u | (parameters[0].x & 0u)); }

// A float16 in the lower half of a word, rounded to the nearest, ties to even, as the CPU does; read by unpack2x16float.
fn half_of(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    let normal = (size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u;
    // Adding a half puts the last bit of a subnormal float16 at the end of the sum.
    let small = bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u;
    let large = select(0x7c00u, 0x7e00u, size > 0x7f800000u);
    let half = select(select(normal, small, size < 0x38800000u), large, size >= 0x47800000u);
    return ((bits >> 16u) & 0x8000u) | half;
}
fn half_pair(x: f32, y: f32) -> u32 { return half_of(x) | (half_of(y) << 16u); }
fn through_half(x: f32) -> f32 { return unpack2x16float(half_of(x)).x; }
fn through_halves(x: vec4<f32>) -> vec4<f32> { return four_halves(vec2<u32>(half_pair(x.x, x.y), half_pair(x.z, x.w))); }
fn four_halves(words: vec2<u32>) -> vec4<f32> { return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)); }

// int64 is (low, high).
fn long_add(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}
fn long_neg(a: vec2<u32>) -> vec2<u32> { return long_add(~a, vec2<u32>(1u, 0u)); }
fn long_sub(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> { return long_add(a, long_neg(b)); }
fn wide_mul(a: u32, b: u32) -> vec2<u32> {
    let mask = 0xffffu;
    let low = (a & mask) * (b & mask);
    let first = (a >> 16u) * (b & mask) + (low >> 16u);
    let second = (a & mask) * (b >> 16u) + (first & mask);
    return vec2<u32>((second << 16u) | (low & mask), (a >> 16u) * (b >> 16u) + (first >> 16u) + (second >> 16u));
}
fn long_mul(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = wide_mul(a.x, b.x);
    return vec2<u32>(low.x, low.y + a.x * b.y + a.y * b.x);
}
fn long_less(a: vec2<u32>, b: vec2<u32>) -> bool {
    let high = bitcast<i32>(a.y) < bitcast<i32>(b.y);
    return select(high, a.x < b.x, a.y == b.y);
}
fn long_equal(a: vec2<u32>, b: vec2<u32>) -> bool { return all(a == b); }
fn long_from_i32(a: i32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }
fn long_to_f32(a: vec2<u32>) -> f32 {
    let negative = (a.y >> 31u) == 1u;
    let m = select(a, long_neg(a), negative);
    let size = f32(m.y) * 4294967296.0 + f32(m.x);
    return select(size, -size, negative);
}
// Cut towards zero and held within the range, as a cast in Rust; NaN is 0.
fn long_from_f32(x: f32) -> vec2<u32> {
    if (is_nan(x)) { return vec2<u32>(0u, 0u); }
    let size = abs(x);
    if (size >= 9223372036854775808.0) {
        return select(vec2<u32>(0u, 0x80000000u), vec2<u32>(0xffffffffu, 0x7fffffffu), x > 0.0);
    }
    let high = floor(size / 4294967296.0);
    let m = vec2<u32>(u32(size - high * 4294967296.0), u32(high));
    return select(m, long_neg(m), x < 0.0);
}
