// What the kernels of attention share: memory of a workgroup, where the matrices of a batch begin, and the dropout. Before
// this text stands the mathematics of elementwise.wgsl, behind it what attention_gpu.rs makes.

// Factors of a product of blocks, 16 deep, rows in fours; or 32 rows and columns of what weights are multiplied with.
var<workgroup> tiles: array<vec4<f32>, 256>;
// Four rows of column c at 8 c + row / 4.
var<workgroup> weights: array<vec4<f32>, 256>;
// A value for each of 32 rows and of 8 invocations that share it.
var<workgroup> parts: array<f32, 256>;

struct Starts { q: u32, k: u32, v: u32, g: u32, mask: u32, out: u32 }
var<private> starts: Starts;

// What the dropout multiplies the weight of a query (counted over all batches) and a key with: word
// position + query · keys + key of the sequence (Philox 4x32-10, as random.rs) decides.
fn kept(query: u32, keys: u32, key: u32) -> f32 {
    let place = long_add(long_add(wide_mul(query, keys), vec2<u32>(key, 0u)), vec2<u32>(p(14u), p(15u)));
    var counter = vec4<u32>((place.x >> 2u) | (place.y << 30u), place.y >> 2u, p(12u), p(13u));
    var cipher = vec2<u32>(p(10u), p(11u));
    for (var round = 0u; round < 10u; round += 1u) {
        let first = wide_mul(0xd2511f53u, counter.x);
        let second = wide_mul(0xcd9e8d57u, counter.z);
        counter = vec4<u32>(second.y ^ counter.y ^ cipher.x, second.x, first.y ^ counter.w ^ cipher.y, first.x);
        cipher += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return select(pf(8u), 0.0, (counter[place.x & 3u] >> 8u) < p(9u));
}
