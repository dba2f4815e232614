// The functions of cpu/math.rs that rows use. NaN and infinity come out as they do there, whatever the driver assumes.

fn m_abs(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu); }
fn m_sqrt(x: f32) -> f32 { return sqrt(x); }
fn m_floor(x: f32) -> f32 { return floor(x); }
fn m_ceil(x: f32) -> f32 { return ceil(x); }
fn m_round(x: f32) -> f32 { return round(x); }
fn m_sin(x: f32) -> f32 { return sin(x); }
fn m_cos(x: f32) -> f32 { return cos(x); }

fn m_max(x: f32, y: f32) -> f32 {
    return select(select(x + y, y, y >= x), x, x > y);
}
fn m_min(x: f32, y: f32) -> f32 {
    return select(select(x + y, y, y <= x), x, x < y);
}
fn m_sign(x: f32) -> f32 {
    return select(select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0), x, is_nan(x));
}

// Cephes' polynomial, as in cpu/math.rs: within two units in the last place on every driver.
fn m_exp(v: f32) -> f32 {
    let x = select(select(v, 88.8, v > 88.8), -87.5, v < -87.5);
    let n = floor(x * 1.4426950408889634 + 0.5);
    let r = (x - n * 0.693359375) + n * 2.12194440e-4;
    let q = ((((1.9875691e-4 * r + 1.3981999e-3) * r + 8.333452e-3) * r + 4.1665796e-2) * r + 1.6666665e-1) * r + 5.0e-1;
    let y = q * r * r + r + 1.0;
    let e = i32(n);
    let half = e >> 1u;
    let power = bitcast<f32>(u32(half + 127) << 23u) * bitcast<f32>(u32(e - half + 127) << 23u);
    let inside = y * power;
    let high = select(inside, infinity(), v > 88.72284);
    let low = select(high, 0.0, v < -87.33654);
    return select(low, v, is_nan(v));
}

fn m_log(v: f32) -> f32 {
    let small = v < 1.1754944e-38;
    let x = select(v, v * 8388608.0, small);
    let shifted = bitcast<u32>(x) - 0x3f3504f3u;
    let e = f32(bitcast<i32>(shifted) >> 23u) - select(0.0, 23.0, small);
    let m = bitcast<f32>((shifted & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    let z = m * m;
    let q = ((((((((7.0376836e-2 * m - 1.151461e-1) * m + 1.1676999e-1) * m - 1.2420141e-1) * m + 1.4249323e-1) * m
        - 1.6668058e-1) * m + 2.0000715e-1) * m - 2.4999994e-1) * m + 3.333333e-1) * m * z;
    let y = m + ((q - e * 2.12194440e-4) - 0.5 * z) + e * 0.693359375;
    let zero = select(y, -infinity(), v == 0.0);
    let negative = select(zero, nan(), v < 0.0);
    let infinite = select(negative, v, bitcast<u32>(v) == 0x7f800000u);
    return select(infinite, v, is_nan(v));
}

fn m_expm1(x: f32) -> f32 {
    let q = x * (1.0 + x * (0.5 + x * (1.6666667e-1 + x * (4.1666668e-2 + x * (8.333333e-3 + x * (1.388889e-3
        + x * (1.984127e-4 + x * 2.4801587e-5)))))));
    return select(m_exp(x) - 1.0, q, m_abs(x) < 0.5);
}

// ln(1+x): a series near 0, else ln(u) with u = 1+x rounded and what the rounding lost.
fn m_log1p(x: f32) -> f32 {
    if (m_abs(x) < 0.0625) {
        // A driver may simplify u - 1 to x, so the usual correction is not to be relied on here.
        return x * (1.0 - x * (0.5 - x * (0.33333333 - x * (0.25 - x * (0.2 - x * (0.16666667 - x * (0.14285714
            - x * 0.125)))))));
    }
    let u = 1.0 + x;
    let y = m_log(u);
    return select(y - ((u - 1.0) - x) / u, y, u > 1e30 || u <= 0.0 || is_nan(u));
}

fn m_tanh(x: f32) -> f32 {
    let z = x * x;
    let q = ((((-5.7049887e-3 * z + 2.0639089e-2) * z - 5.3739716e-2) * z + 1.3331442e-1) * z - 3.333328e-1) * z * x + x;
    let e = m_exp(2.0 * m_abs(x));
    let t = 1.0 - 2.0 / (e + 1.0);
    return select(select(t, -t, x < 0.0), q, m_abs(x) < 0.625);
}

fn m_erf(v: f32) -> f32 {
    let x = select(select(v, 4.0, v > 4.0), -4.0, v < -4.0);
    let z = x * x;
    let q = ((((((-2.7261423e-10 * z + 2.7706814e-8) * z - 2.101024e-6) * z - 5.692507e-5) * z - 7.3499063e-4) * z
        - 2.9546e-3) * z - 1.6096033e-2) * x;
    let r = (((-1.4566072e-5 * z - 2.1337406e-4) * z - 1.682827e-3) * z - 7.3733292e-3) * z - 1.4264739e-2;
    return q / r;
}

// Whole exponents of negative numbers included; x⁰ = 1.
fn m_pow(x: f32, y: f32) -> f32 {
    if (y == 0.0 || x == 1.0) { return 1.0; }
    if (is_nan(x) || is_nan(y)) { return nan(); }
    let size = m_abs(x);
    let whole = floor(y) == y;
    let odd = whole && m_abs(y) < 16777216.0 && (i32(y) & 1) != 0;
    var value: f32;
    if (whole && m_abs(y) <= 64.0) {
        // By repeated squaring: exact for the small exponents that people write.
        var n = u32(m_abs(y));
        var base = size;
        value = 1.0;
        while (n > 0u) {
            if ((n & 1u) == 1u) { value *= base; }
            base *= base;
            n = n >> 1u;
        }
        if (y < 0.0) { value = 1.0 / value; }
    } else if (y == 0.5 && x >= 0.0) {
        value = sqrt(x);
    } else {
        value = m_exp(y * m_log(size));
        if (x == 0.0) { value = select(0.0, infinity(), y < 0.0); }
        if (x < 0.0 && !whole && size < infinity()) { value = nan(); }
    }
    return select(value, -value, odd && (bitcast<u32>(x) >> 31u) == 1u);
}

fn m_atan2(y: f32, x: f32) -> f32 {
    if (is_nan(x) || is_nan(y)) { return nan(); }
    let pi = 3.14159265358979;
    let a = m_abs(x);
    let b = m_abs(y);
    let huge = 3.4e38;
    // Of two infinities the angle is that of two equal numbers.
    let both = a > huge && b > huge;
    let large = select(max(a, b), 1.0, both);
    let small = select(min(a, b), 1.0, both);
    var angle = select(atan(small / large), 0.0, large == 0.0 || (large > huge));
    if (b > a) { angle = pi / 2.0 - angle; }
    let left = (bitcast<u32>(x) >> 31u) == 1u;
    angle = select(angle, pi - angle, left);
    return select(angle, -angle, (bitcast<u32>(y) >> 31u) == 1u);
}
