// The darkest value of each channel of an image, then how far the brightest is from it (0, 1 for a channel of one value): six
// numbers. A workgroup an image.

var<workgroup> lows: array<vec3<f32>, 256>;
var<workgroup> highs: array<vec3<f32>, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let image = group.y * groups.x + group.x;
    var low = vec3<f32>(infinity());
    var high = vec3<f32>(-infinity());
    if (image < p(0u)) {
        for (var at = local; at < p(5u) * p(6u); at += 256u) {
            let v = pixel(image, at / p(6u), at % p(6u));
            low = min(low, v);
            high = max(high, v);
        }
    }
    lows[local] = low;
    highs[local] = high;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (local < half) {
            lows[local] = min(lows[local], lows[local + half]);
            highs[local] = max(highs[local], highs[local + half]);
        }
        workgroupBarrier();
    }
    if (local < 3u && image < p(0u)) {
        let flat = highs[0][local] <= lows[0][local];
        let at = p(3u) + 6u * (p(4u) + image) + local;
        out[at] = select(lows[0][local], 0.0, flat);
        out[at + 3u] = select(highs[0][local] - lows[0][local], 1.0, flat);
    }
}
