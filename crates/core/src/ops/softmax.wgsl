// Rows, a workgroup each: what softmax, its logarithm, logsumexp and the cross-entropy share. Before this text stands
// rows.wgsl; behind it the entry points of one of them.

fn largest_of(local: u32, value: f32) -> f32 {
    lanes[local] = value;
    for (var half = SIZE / 2u; half > 0u; half = half / 2u) {
        workgroupBarrier();
        if (local < half) { lanes[local] = max(lanes[local], lanes[local + half]); }
    }
    workgroupBarrier();
    let best = lanes[0];
    workgroupBarrier();
    return best;
}

// p: 0 rows, 1 columns, 2.. where each binding begins.
@group(0) @binding(1) var<storage, read> x: array<f32>;

struct Row { start: u32, shift: f32, total: f32 }

// The largest value of row r, and the sum of e^(x - largest).
fn row_of(r: u32, local: u32) -> Row {
    let start = p(2u) + min(r, p(0u) - 1u) * p(1u);
    var best = -infinity();
    for (var c = local; c < p(1u); c += SIZE) { best = max(best, x[start + c]); }
    let shift = largest_of(local, best);
    var total = 0.0;
    for (var c = local; c < p(1u); c += SIZE) { total += m_exp(x[start + c] - shift); }
    return Row(start, shift, sum_of(local, total));
}
