// Weighted sums along one axis, the image reflected at its edge pixels.
// Table: the first weight and their number of each image, then (from 15) weights. Parameter 16: 0 along rows, 1 along columns.

fn blurred(image: u32, row: u32, column: u32) -> vec3<f32> {
    let first = p(15u) + t(2u * (p(4u) + image));
    let count = t(2u * (p(4u) + image) + 1u);
    let down = p(16u) == 1u;
    let last = i32(select(p(6u), p(5u), down)) - 1;
    var sum = vec3<f32>(0.0);
    for (var tap = 0u; tap < count; tap += 1u) {
        var place = abs(i32(select(column, row, down) + tap) - i32(count / 2u));
        if (place > last) { place = 2 * last - place; }
        let at = u32(place);
        sum = fma(pixel(image, select(row, at, down), select(at, column, down)), vec3<f32>(tf(first + tap)), sum);
    }
    return sum;
}
