// Grey sums of an image after what stands before its contrast, a workgroup a sum. Parameters: 15 first word of the instructions,
// 16 pixels of a sum, 17 sums of an image.

var<workgroup> shares: array<f32, 256>;
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32) {
    let number = group.y * groups.x + group.x;
    let image = number / p(17u);
    let piece = number % p(17u);
    var sum = 0.0;
    if (number < p(0u)) {
        let end = min((piece + 1u) * p(16u), p(5u) * p(6u));
        for (var at = piece * p(16u) + local; at < end; at += 256u) {
            let row = at / p(6u);
            let column = at % p(6u);
            sum += grey_of(after(p(4u) + image, pixel(image, row, column), row, column, 0.0, true));
        }
    }
    shares[local] = sum;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half = half / 2u) {
        if (local < half) { shares[local] += shares[local + half]; }
        workgroupBarrier();
    }
    if (local == 0u && number < p(0u)) { out[p(3u) + (p(4u) + image) * p(17u) + piece] = shares[0]; }
}
