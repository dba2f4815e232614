// The optimizers' rules: how an element p of a parameter and its state s change by its gradient g. A constant c(i) stands
// as in update.rs (fields of the rule in their order), rest(i) is 1 - c(i) rounded once.

fn c(i: u32) -> f32 { return constant(2u * i); }
fn rest(i: u32) -> f32 { return constant(2u * i + 1u); }

struct Change { p: f32, s: vec3<f32> }

// Decay: sign, coupled, keep.
fn decayed(p: f32, g: f32) -> vec2<f32> { return vec2<f32>(c(2u) * p, c(0u) * g + c(1u) * p); }
fn signum(x: f32) -> f32 { return select(select(0.0, -1.0, x < 0.0), 1.0, x > 0.0); }

// lr, scale, decay
fn Plain(p: f32, g: f32, s: vec3<f32>) -> Change {
    return Change(p - c(0u) * (scale() * g + decay() * p), s);
}
// lr, scale, decay, lead
fn FirstMomentum(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = scale() * g0 + decay() * p;
    return Change(p - c(0u) * c(3u) * g, vec3<f32>(g, s.yz));
}
// lr, scale, decay, momentum, fresh, nesterov
fn Momentum(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = scale() * g0 + decay() * p;
    let b = c(3u) * s.x + c(4u) * g;
    return Change(p - c(0u) * select(b, g + c(3u) * b, c(5u) != 0.0), vec3<f32>(b, s.yz));
}
// decay, beta1, beta2, eps, size, root
fn Adam(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let m = s.x + rest(3u) * (d.y - s.x);
    let v = c(4u) * s.y + rest(4u) * d.y * d.y;
    return Change(d.x - c(6u) * m / (sqrt(v) * c(7u) + c(5u)), vec3<f32>(m, v, s.z));
}
fn AmsGrad(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let m = s.x + rest(3u) * (d.y - s.x);
    let v = c(4u) * s.y + rest(4u) * d.y * d.y;
    let largest = select(s.z, v, v > s.z);
    return Change(d.x - c(6u) * m / (sqrt(largest) * c(7u) + c(5u)), vec3<f32>(m, v, largest));
}
// decay, beta1, beta2, eps, size
fn Adamax(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let m = s.x + rest(3u) * (d.y - s.x);
    let old = c(4u) * s.y;
    let fresh = abs(d.y) + c(5u);
    let u = select(old, fresh, fresh > old);
    return Change(d.x - c(6u) * m / u, vec3<f32>(m, u, s.z));
}
// decay, beta1, beta2, eps, second, now, ahead
fn NAdam(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let m = s.x + rest(3u) * (d.y - s.x);
    let v = c(4u) * s.y + rest(4u) * d.y * d.y;
    let denominator = sqrt(v / c(6u)) + c(5u);
    return Change(d.x - c(7u) * d.y / denominator - c(8u) * m / denominator, vec3<f32>(m, v, s.z));
}
// decay, beta1, beta2, eps, size, rectified, adaptive
fn RAdam(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let m = s.x + rest(3u) * (d.y - s.x);
    let v = c(4u) * s.y + rest(4u) * d.y * d.y;
    let by = select(1.0, c(7u) / (sqrt(v) + c(5u)), c(8u) != 0.0);
    return Change(d.x - c(6u) * m * by, vec3<f32>(m, v, s.z));
}
// decay, beta1, beta2, lr
fn Lion(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let d = decayed(p0, g0);
    let direction = c(3u) * s.x + rest(3u) * d.y;
    return Change(d.x - c(5u) * signum(direction), vec3<f32>(c(4u) * s.x + rest(4u) * d.y, s.yz));
}
// decay, eps, size
fn Adagrad(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let sum = s.x + g * g;
    return Change(p - c(4u) * g / (sqrt(sum) + c(3u)), vec3<f32>(sum, s.yz));
}
// decay, rho, eps, lr
fn Adadelta(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let squares = c(3u) * s.x + rest(3u) * g * g;
    let change = sqrt(s.y + c(4u)) / sqrt(squares + c(4u)) * g;
    return Change(p - c(5u) * change, vec3<f32>(squares, c(3u) * s.y + rest(3u) * change * change, s.z));
}
// decay, alpha, eps, lr
fn RmsProp(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let v = c(3u) * s.x + rest(3u) * g * g;
    return Change(p - c(5u) * g / (sqrt(v) + c(4u)), vec3<f32>(v, s.yz));
}
// and momentum
fn RmsPropMomentum(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let v = c(3u) * s.x + rest(3u) * g * g;
    let b = c(6u) * s.y + g / (sqrt(v) + c(4u));
    return Change(p - c(5u) * b, vec3<f32>(v, b, s.z));
}
fn RmsPropCentered(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let v = c(3u) * s.x + rest(3u) * g * g;
    let mean = s.y + rest(3u) * (g - s.y);
    return Change(p - c(5u) * g / (sqrt(v - mean * mean) + c(4u)), vec3<f32>(v, mean, s.z));
}
fn RmsPropFull(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p, g0).y;
    let v = c(3u) * s.x + rest(3u) * g * g;
    let mean = s.z + rest(3u) * (g - s.z);
    let b = c(6u) * s.y + g / (sqrt(v - mean * mean) + c(4u));
    return Change(p - c(5u) * b, vec3<f32>(v, b, mean));
}
// decay, lambda, eta, mu
fn Asgd(p0: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = decayed(p0, g0).y;
    let p = p0 - c(3u) * c(4u) * p0 - c(4u) * g;
    return Change(p, vec3<f32>(select(s.x + c(5u) * (p - s.x), p, c(5u) == 1.0), s.yz));
}
// eta_minus, eta_plus, smallest, largest, sign
fn Rprop(p: f32, g0: f32, s: vec3<f32>) -> Change {
    let g = c(4u) * g0;
    let agreement = g * s.x;
    let factor = select(select(1.0, c(0u), agreement < 0.0), c(1u), agreement > 0.0);
    let size = min(max(s.y * factor, c(2u)), c(3u));
    let used = select(g, 0.0, agreement < 0.0);
    return Change(p - signum(used) * size, vec3<f32>(used, size, s.z));
}
