// What becomes of each of the 256 levels of a channel so that all take about as many pixels (Pillow's scheme), in parts of 1.
// A workgroup a channel of an image. Counts are whole numbers, so that their order makes no difference.

var<workgroup> counts: array<atomic<u32>, 256>;
var<workgroup> histogram: array<u32, 256>;
fn byte_of(v: f32) -> u32 { return u32(clamp(v * 255.999, 0.0, 255.0)); }
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let number = group.y * groups.x + group.x;
    let image = number / p(7u);
    let channel = number % p(7u);
    atomicStore(&counts[local], 0u);
    workgroupBarrier();
    let area = p(5u) * p(6u);
    if (number < p(0u)) {
        for (var at = local; at < area; at += 256u) {
            let v = pixel(image, at / p(6u), at % p(6u));
            atomicAdd(&counts[byte_of(v[channel])], 1u);
        }
    }
    workgroupBarrier();
    histogram[local] = atomicLoad(&counts[local]);
    workgroupBarrier();
    if (number < p(0u)) {
        var below = 0u;
        var brightest = 0u;
        for (var level = 0u; level < 256u; level += 1u) {
            if (level < local) { below += histogram[level]; }
            if (histogram[level] > 0u) { brightest = histogram[level]; }
        }
        let step = (area - brightest) / 255u;
        let level = select(min((step / 2u + below) / max(step, 1u), 255u), local, step == 0u);
        out[p(3u) + ((p(4u) + image) * p(7u) + channel) * 256u + local] = f32(level) * (1.0 / 255.0);
    }
}
