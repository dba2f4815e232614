// Resizing of a window of each image by a filter as wide as the new pixel where it shrinks (ANTIALIAS), as in image/resample.rs.
// Table: top, left, height, width, old pixels a new one down and across. `weigh` and REACH are the filter.

struct Taps { first: i32, behind: i32, center: f32, stretch: f32, total: f32 }
fn taps(place: u32, step: f32, size: u32) -> Taps {
    var made: Taps;
    made.stretch = select(1.0, step, ANTIALIAS && step > 1.0);
    let reach = REACH * made.stretch;
    made.center = step * (f32(place) + 0.5);
    let low = made.center - reach + 0.5;
    let high = made.center + reach + 0.5;
    made.first = select(i32(floor(low)), max(i32(low), 0), ANTIALIAS);
    made.behind = i32(select(high, min(high, f32(size)), ANTIALIAS));
    for (var tap = made.first; tap < made.behind; tap += 1) { made.total += weight(made, tap); }
    return made;
}
fn weight(taps: Taps, tap: i32) -> f32 { return weigh((f32(tap) - taps.center + 0.5) / taps.stretch); }
fn resized(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = 6u * (p(4u) + image);
    let down = taps(row, tf(at + 4u), t(at + 2u));
    let across = taps(column, tf(at + 5u), t(at + 3u));
    var sum = vec3<f32>(0.0);
    for (var y = down.first; y < down.behind; y += 1) {
        let above = t(at) + u32(clamp(y, 0, i32(t(at + 2u)) - 1));
        var line = vec3<f32>(0.0);
        for (var x = across.first; x < across.behind; x += 1) {
            let column = t(at + 1u) + u32(clamp(x, 0, i32(t(at + 3u)) - 1));
            line += weight(across, x) * pixel(image, above, column);
        }
        sum += (weight(down, y) / down.total) * (line / across.total);
    }
    return sum;
}
