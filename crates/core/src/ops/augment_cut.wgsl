// Windows, flips and quarter turns: each pixel is one of the image, or the fill.
// Table: top, left, flips (1 left to right, 2 top to bottom), quarter turns. Parameters: 15 padding, 16 its fill.

fn place(i: i32, size: i32) -> i32 {
    if (i >= 0 && i < size) { return i; }
    switch p(15u) {
        case 1u: { return clamp(i, 0, size - 1); }
        case 2u: { return select(2 * (size - 1) - i, -i, i < 0); }
        case 3u: { return select(2 * size - 1 - i, -i - 1, i < 0); }
        default: { return -1; }
    }
}
fn cut(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = 4u * (p(4u) + image);
    let height = i32(p(5u));
    let width = i32(p(6u));
    var y = i32(row);
    var x = i32(column);
    if ((t(at + 2u) & 1u) == 1u) { x = width - 1 - x; }
    if ((t(at + 2u) & 2u) == 2u) { y = height - 1 - y; }
    switch t(at + 3u) {
        case 1u: { y = i32(column); x = width - 1 - i32(row); }
        case 2u: { y = height - 1 - i32(row); x = width - 1 - i32(column); }
        case 3u: { y = height - 1 - i32(column); x = i32(row); }
        default: {}
    }
    y = place(y + bitcast<i32>(t(at)), height);
    x = place(x + bitcast<i32>(t(at + 1u)), width);
    if (y < 0 || x < 0) { return vec3<f32>(pf(16u)); }
    return pixel(image, u32(y), u32(x));
}
