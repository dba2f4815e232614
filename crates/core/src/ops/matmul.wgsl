// A tile of a product of matrices a workgroup, a part of it an invocation: 4 × 4 sums in registers, both factors by way
// of workgroup memory. Before this text stand TILE (16 · 4 or 16 · 2), EACH (TILE / 16) and, as booleans, along which
// of its dimensions each factor is contiguous, and whether there is a bias.
//
// p: 0 rows, 1 columns, 2 inner, 3 offset of a, 4 its row stride, 5 its column stride, 6 offset of b, 7, 8 its strides,
// 9 offset of out, 10 offset of bias, 11 first batch, 12 parts of the inner dimension, 13 length of a part,
// 14 batch axes, then for each: size, stride of a, stride of b.

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

const DEPTH = 16u;
const PITCH = TILE + 1u;
var<workgroup> tile_a: array<f32, DEPTH * PITCH>;
var<workgroup> tile_b: array<f32, DEPTH * PITCH>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let batch = group.z / p(12u) + p(11u);
    let part = group.z % p(12u);
    var rest = batch;
    var from_a = p(3u);
    var from_b = p(6u);
    for (var axis = p(14u); axis > 0u; axis -= 1u) {
        let at = 12u + 3u * axis;
        let index = rest % p(at);
        rest = rest / p(at);
        from_a += index * p(at + 1u);
        from_b += index * p(at + 2u);
    }
    let row = group.y * TILE;
    let column = group.x * TILE;
    let tx = local % 16u;
    let ty = local / 16u;
    let first = part * p(13u);
    let end = min(first + p(13u), p(2u));
    var sums: array<array<f32, EACH>, EACH>;
    for (var r = 0u; r < EACH; r += 1u) {
        for (var c = 0u; c < EACH; c += 1u) { sums[r][c] = 0.0; }
    }
    for (var k0 = first; k0 < end; k0 += DEPTH) {
        for (var step = 0u; step < EACH; step += 1u) {
            let index = local + step * 256u;
            let ka = select(index / TILE, index % DEPTH, A_ALONG_INNER);
            let ma = select(index % TILE, index / DEPTH, A_ALONG_INNER);
            var x = 0.0;
            if (row + ma < p(0u) && k0 + ka < end) { x = a[from_a + (row + ma) * p(4u) + (k0 + ka) * p(5u)]; }
            tile_a[ka * PITCH + ma] = x;
            let kb = select(index / TILE, index % DEPTH, B_ALONG_INNER);
            let nb = select(index % TILE, index / DEPTH, B_ALONG_INNER);
            var y = 0.0;
            if (column + nb < p(1u) && k0 + kb < end) { y = b[from_b + (k0 + kb) * p(7u) + (column + nb) * p(8u)]; }
            tile_b[kb * PITCH + nb] = y;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k += 1u) {
            var x: array<f32, EACH>;
            for (var r = 0u; r < EACH; r += 1u) { x[r] = tile_a[k * PITCH + ty * EACH + r]; }
            for (var c = 0u; c < EACH; c += 1u) {
                let y = tile_b[k * PITCH + tx + c * 16u];
                for (var r = 0u; r < EACH; r += 1u) { sums[r][c] = fma(x[r], y, sums[r][c]); }
            }
        }
        workgroupBarrier();
    }
    // Parts of the inner dimension are results of their own, added up afterwards.
    let base = p(9u) + (part * p(15u + 3u * p(14u)) + batch) * p(0u) * p(1u);
    for (var r = 0u; r < EACH; r += 1u) {
        let m = row + ty * EACH + r;
        for (var c = 0u; c < EACH; c += 1u) {
            let n = column + tx + c * 16u;
            if (m < p(0u) && n < p(1u)) { out[base + m * p(1u) + n] = sums[r][c] + bias_of(n); }
        }
    }
}
