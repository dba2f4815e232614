// Sums of what the lanes of a workgroup hold, for kernels with a workgroup a row. Before this text stands SIZE, the
// invocations of a workgroup; every one of them calls these functions.

var<workgroup> lanes: array<f32, SIZE>;

fn sum_of(local: u32, value: f32) -> f32 {
    lanes[local] = value;
    for (var half = SIZE / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (local < half) { lanes[local] = lanes[local] + lanes[local + half]; }
    }
    workgroupBarrier();
    let total = lanes[0];
    workgroupBarrier();
    return total;
}
