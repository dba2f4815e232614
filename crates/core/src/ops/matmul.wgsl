// The factors of a matrix product for `product.wgsl`.
//
// p: 0 rows, 1 columns, 2 inner, 3 offset of a, 4 its row stride, 5 its column stride, 6 offset of b, 7, 8 its strides,
// 9 offset of out, 10 offset of bias, 11 first batch, 12 parts, 13 length of a part, 14 batches in all, 15 batch axes, then for
// each: size, stride of a, stride of b.

var<private> from_a: u32;
var<private> from_b: u32;
var<private> to: u32;

fn begin(z: u32) {
    let batch = z / p(12u) + p(11u);
    let part = z % p(12u);
    var rest = batch;
    from_a = p(3u);
    from_b = p(6u);
    for (var axis = p(15u); axis > 0u; axis -= 1u) {
        let at = 13u + 3u * axis;
        let index = rest % p(at);
        rest = rest / p(at);
        from_a += index * p(at + 1u);
        from_b += index * p(at + 2u);
    }
    set_part(part, p(13u), p(2u));
    to = p(9u) + (part * p(14u) + batch) * p(0u) * p(1u);
}

// (place, whether it is inside)
fn row_a(m: u32) -> vec2<u32> { return vec2<u32>(from_a + m * p(4u), select(0u, 1u, m < p(0u))); }
fn inner_a(k: u32) -> vec2<u32> { return vec2<u32>(k * p(5u), select(0u, 1u, k < end_inner)); }
fn value_a(r: vec2<u32>, k: vec2<u32>) -> A {
    if ((r.y & k.y) == 0u) { return A(); }
    return at_a(r.x + k.x);
}
fn column_b(n: u32) -> vec2<u32> { return vec2<u32>(from_b + n * p(8u), select(0u, 1u, n < p(1u))); }
fn inner_b(k: u32) -> vec2<u32> { return vec2<u32>(k * p(7u), select(0u, 1u, k < end_inner)); }
fn value_b(c: vec2<u32>, k: vec2<u32>) -> B {
    if ((c.y & k.y) == 0u) { return B(); }
    return at_b(c.x + k.x);
}
fn place(m: u32, n: u32) -> u32 { return to + m * p(1u) + n; }
fn finished(n: u32, sum: f32) -> f32 { return sum + bias_of(n); }
