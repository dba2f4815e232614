// Changes of single pixels, a list of them for each image, as in image/color.rs: an instruction is eight words.
// Table: where the instructions of each image begin and those of the last end, then instructions.

fn program_start(image: u32) -> u32 { return p(15u) + 8u * t(image); }
fn grey_of(v: vec3<f32>) -> f32 {
    if (p(7u) == 1u) { return v.x; }
    return fma(v.z, 0.114, fma(v.y, 0.587, v.x * 0.2989));
}
fn unit(v: vec3<f32>) -> vec3<f32> { return clamp(v, vec3<f32>(0.0), vec3<f32>(1.0)); }
fn blend(v: vec3<f32>, other: f32, factor: f32, rest: f32) -> vec3<f32> {
    return unit(fma(vec3<f32>(other), vec3<f32>(rest), v * factor));
}

// RGB to hue, saturation, value; the hue turned; and back.
fn turned(v: vec3<f32>, turn: f32) -> vec3<f32> {
    let value = max(max(v.x, v.y), v.z);
    let range = value - min(min(v.x, v.y), v.z);
    let is_grey = range == 0.0;
    let saturation = range / select(value, 1.0, is_grey);
    let away = (vec3<f32>(value) - v) / select(range, 1.0, is_grey);
    var sector = 4.0 + away.y - away.x;
    if (value == v.y) { sector = 2.0 + away.x - away.z; }
    if (value == v.x) { sector = away.z - away.y; }
    let hue = sector * (1.0 / 6.0) + 1.0;
    let moved = hue - floor(hue) + turn;
    let sixths = (moved - floor(moved)) * 6.0;
    let wraps = sixths >= 6.0;
    let index = select(floor(sixths), 0.0, wraps);
    let part = saturation * select(sixths - index, 0.0, wraps);
    let pqt = unit(vec3<f32>(1.0 - saturation, 1.0 - part, part + (1.0 - saturation)) * value);
    switch u32(index) {
        case 0u: { return vec3<f32>(value, pqt.z, pqt.x); }
        case 1u: { return vec3<f32>(pqt.y, value, pqt.x); }
        case 2u: { return vec3<f32>(pqt.x, value, pqt.z); }
        case 3u: { return vec3<f32>(pqt.x, pqt.y, value); }
        case 4u: { return vec3<f32>(pqt.z, pqt.x, value); }
        default: { return vec3<f32>(value, pqt.x, pqt.y); }
    }
}

// A pixel in row y, column x after the instructions of its image, or (`stop`) after those before a contrast.
fn after(image: u32, pixel: vec3<f32>, y: u32, x: u32, mean: f32, stop: bool) -> vec3<f32> {
    var v = pixel;
    let end = program_start(image + 1u);
    for (var k = program_start(image); k < end; k += 8u) {
        let first = tf(k + 1u);
        let second = tf(k + 2u);
        switch t(k) {
            case BRIGHTNESS: { v = unit(v * first); }
            case CONTRAST: {
                if (stop) { return v; }
                v = blend(v, mean, first, second);
            }
            case SATURATION: { v = blend(v, grey_of(v), first, second); }
            case HUE: { v = turned(v, first); }
            case GREY: { v = vec3<f32>(grey_of(v)); }
            case SOLARIZE: { v = select(v, 1.0 - v, v >= vec3<f32>(first)); }
            case INVERT: { v = 1.0 - v; }
            case POSTERIZE: { v = clamp(floor(v * first), vec3<f32>(0.0), vec3<f32>(first - 1.0)) * second; }
            case NORMALIZE: {
                let scale = vec3<f32>(tf(k + 4u), tf(k + 5u), tf(k + 6u));
                v = (v - vec3<f32>(first, second, tf(k + 3u))) * scale;
            }
            case PERMUTE: { v = vec3<f32>(v[t(k + 1u)], v[t(k + 2u)], v[t(k + 3u)]); }
            case ERASE: {
                let inside = y >= t(k + 1u) && y - t(k + 1u) < t(k + 3u) && x >= t(k + 2u) && x - t(k + 2u) < t(k + 4u);
                if (inside) { v = vec3<f32>(tf(k + 5u), tf(k + 6u), tf(k + 7u)); }
            }
            default: {}
        }
    }
    return v;
}
