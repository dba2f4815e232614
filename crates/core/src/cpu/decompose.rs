//! Decompositions of one dense matrix of float64, row-major: orthogonal times triangular, eigenvalues of a symmetric
//! matrix, singular values with their vectors. Additions have one order whatever the instruction set.

use super::dispatch::{Kernel, dispatch};

/// A = Q·R for A [m, n]: Q [m, k] with orthonormal columns, R [k, n] upper triangular with a diagonal that is not
/// negative, k = min(m, n). Householder's reflections (Golub & Van Loan 2013, algorithm 5.2.1).
pub fn orthogonal_triangular(mut a: Vec<f64>, m: usize, n: usize) -> (Vec<f64>, Vec<f64>) {
    let k = m.min(n);
    if k == 0 {
        return (Vec::new(), Vec::new());
    }
    let scale = normalize(&mut a);
    let mut q = vec![0.0; m * k];
    (0..k).for_each(|i| q[i * k + i] = 1.0);
    dispatch(Reflect { a: &mut a, q: &mut q, m, n });
    for i in 0..k {
        let negative = a[i * n + i] < 0.0;
        let sign = if negative { -1.0 } else { 1.0 };
        a[i * n..i * n + i].fill(0.0);
        a[i * n + i..(i + 1) * n].iter_mut().for_each(|v| *v *= sign * scale);
        if negative {
            (0..m).for_each(|row| q[row * k + i] = -q[row * k + i]);
        }
    }
    a.truncate(k * n);
    (q, a)
}

/// Eigenvalues in ascending order and, if asked for, the matrix [n, n] whose columns are their unit vectors, of a
/// symmetric matrix [n, n]. None if the iteration does not end.
/// Reduction to three diagonals, then implicit QR steps (Golub & Van Loan 2013, algorithms 8.3.1 and 8.3.3).
pub fn symmetric_eigen(mut a: Vec<f64>, n: usize, vectors: bool) -> Option<(Vec<f64>, Vec<f64>)> {
    let scale = normalize(&mut a);
    let mut rows = vec![0.0; if vectors { n * n } else { 0 }];
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    dispatch(ThreeDiagonals { a: &mut a, n, diagonal: &mut diagonal, beside: &mut beside, rows: &mut rows });
    if !dispatch(Iterate { n, diagonal: &mut diagonal, beside: &mut beside, rows: &mut rows }) {
        return None;
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| diagonal[i].total_cmp(&diagonal[j]));
    let values = order.iter().map(|&i| diagonal[i] * scale).collect();
    let columns = (0..rows.len()).map(|place| rows[order[place % n] * n + place / n]).collect();
    Some((values, columns))
}

/// Singular values in descending order, and for each a row of the matrices [k, m] and [k, n] of left and right vectors,
/// of A [m, n], k = min(m, n). None if the iteration does not end. Where a value is 0 its two vectors are not of unit
/// length: only those of the others are determined.
///
/// The eigenvalues of [[0, B], [Bᵀ, 0]] are ± the singular values of B (Golub & Van Loan 2013, section 8.6.1), here of
/// the triangular factor B [k, k] of A; unlike those of AᵀA they lose nothing of the small ones.
pub fn singular_values(a: &[f64], m: usize, n: usize) -> Option<(Vec<f64>, Vec<f64>, Vec<f64>)> {
    if m < n {
        let (values, left, right) = singular_values(&transposed(a, m, n), n, m)?;
        return Some((values, right, left));
    }
    let (q, r) = orthogonal_triangular(a.to_vec(), m, n);
    let mut both = vec![0.0; 4 * n * n];
    for (i, j) in (0..n).flat_map(|i| (i..n).map(move |j| (i, j))) {
        both[i * 2 * n + n + j] = r[i * n + j];
        both[(n + j) * 2 * n + i] = r[i * n + j];
    }
    let (values, vectors) = symmetric_eigen(both, 2 * n, true)?;
    let (mut left, mut right) = (vec![0.0; n * m], vec![0.0; n * n]);
    for k in 0..n {
        // The largest come last. Both halves of a unit vector have length √½.
        let column = 2 * n - 1 - k;
        let part = |row: usize| vectors[row * 2 * n + column] * std::f64::consts::SQRT_2;
        (0..n).for_each(|j| right[k * n + j] = part(n + j));
        for i in 0..m {
            left[k * m + i] = (0..n).map(|j| q[i * n + j] * part(j)).sum();
        }
    }
    Some((values.into_iter().rev().take(n).map(|v| v.max(0.0)).collect(), left, right))
}

/// The transpose [n, m] of a matrix [m, n].
pub fn transposed(a: &[f64], m: usize, n: usize) -> Vec<f64> {
    (0..m * n).map(|place| a[place % m * n + place / m]).collect()
}

/// Divides by a power of two, so that no square overflows or vanishes and no digit changes; returns it.
fn normalize(a: &mut [f64]) -> f64 {
    let largest = a.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if !largest.is_normal() {
        return 1.0;
    }
    let scale = f64::from_bits(largest.to_bits() & (0x7ff << 52));
    a.iter_mut().for_each(|v| *v /= scale);
    scale
}

/// Steps of the iteration for each eigenvalue before it is given up; two or three is what one takes.
const STEPS: usize = 60;

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (mut left, mut right) = (a.chunks_exact(8), b.chunks_exact(8));
    for (a, b) in (&mut left).zip(&mut right) {
        (0..8).for_each(|k| lanes[k] += a[k] * b[k]);
    }
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

/// y ← y + factor · x
#[inline(always)]
fn add_scaled(y: &mut [f64], factor: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

/// Makes of x the vector v (v₀ = 1) of a reflection 1 − β·v·vᵀ that takes x to (α, 0, …, 0); returns β and α.
#[inline(always)]
fn reflection(x: &mut [f64]) -> (f64, f64) {
    let below = dot(&x[1..], &x[1..]);
    if below == 0.0 {
        let alpha = x[0];
        x[0] = 1.0;
        return (0.0, alpha);
    }
    let length = (x[0] * x[0] + below).sqrt();
    let alpha = if x[0] > 0.0 { -length } else { length };
    let first = x[0] - alpha;
    x[1..].iter_mut().for_each(|v| *v /= first);
    x[0] = 1.0;
    (-first / alpha, alpha)
}

/// R in place of A, Q in place of the first columns of the unit matrix.
struct Reflect<'a> {
    a: &'a mut [f64],
    q: &'a mut [f64],
    m: usize,
    n: usize,
}

impl Kernel for Reflect<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Reflect { a, q, m, n } = self;
        let k = m.min(n);
        let mut reflections = Vec::with_capacity(k);
        let mut sums = vec![0.0; n.max(k)];
        for j in 0..k {
            let mut v: Vec<f64> = (j..m).map(|i| a[i * n + j]).collect();
            let (beta, alpha) = reflection(&mut v);
            reflect_rows(a, n, j, j, beta, &v, &mut sums);
            a[j * n + j] = alpha;
            (j + 1..m).for_each(|i| a[i * n + j] = 0.0);
            reflections.push((beta, v));
        }
        for (j, (beta, v)) in reflections.iter().enumerate().rev() {
            reflect_rows(q, k, j, j, *beta, v, &mut sums);
        }
    }
}

/// (1 − β·v·vᵀ)·A for the part of A from that row and column on.
#[inline(always)]
fn reflect_rows(a: &mut [f64], columns: usize, row: usize, column: usize, beta: f64, v: &[f64], sums: &mut [f64]) {
    if beta == 0.0 {
        return;
    }
    let sums = &mut sums[..columns - column];
    sums.fill(0.0);
    for (i, v) in v.iter().enumerate() {
        add_scaled(sums, *v, &a[(row + i) * columns + column..(row + i + 1) * columns]);
    }
    for (i, v) in v.iter().enumerate() {
        add_scaled(&mut a[(row + i) * columns + column..(row + i + 1) * columns], -beta * v, sums);
    }
}

/// A becomes Qᵀ·A·Q with a diagonal and one beside it; Qᵀ goes into the rows, if there are any.
struct ThreeDiagonals<'a> {
    a: &'a mut [f64],
    n: usize,
    diagonal: &'a mut [f64],
    /// The last one stays 0.
    beside: &'a mut [f64],
    rows: &'a mut [f64],
}

impl Kernel for ThreeDiagonals<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ThreeDiagonals { a, n, diagonal, beside, rows } = self;
        let mut reflections: Vec<(f64, Vec<f64>)> = Vec::new();
        let mut w = vec![0.0; n];
        for k in 0..n.saturating_sub(1) {
            let mut v = a[k * n + k + 1..(k + 1) * n].to_vec();
            let (beta, alpha) = reflection(&mut v);
            beside[k] = alpha;
            let w = &mut w[k + 1..n];
            if beta != 0.0 {
                // A − v·wᵀ − w·vᵀ with w = β·A·v − ½·β²·(vᵀ·A·v)·v.
                for (i, w) in w.iter_mut().enumerate() {
                    *w = beta * dot(&a[(k + 1 + i) * n + k + 1..(k + 2 + i) * n], &v);
                }
                let shared = dot(w, &v);
                add_scaled(w, -0.5 * beta * shared, &v);
                for (i, (vi, wi)) in v.iter().zip(&*w).enumerate() {
                    let row = &mut a[(k + 1 + i) * n + k + 1..(k + 2 + i) * n];
                    row.iter_mut().zip(v.iter().zip(&*w)).for_each(|(a, (v, w))| *a -= vi * w + wi * v);
                }
            }
            reflections.push((beta, v));
        }
        (0..n).for_each(|k| diagonal[k] = a[k * n + k]);
        if rows.is_empty() {
            return;
        }
        (0..n).for_each(|k| rows[k * n + k] = 1.0);
        for (k, (beta, v)) in reflections.iter().enumerate().rev() {
            for i in k + 1..n {
                let row = &mut rows[i * n + k + 1..(i + 1) * n];
                let share = beta * dot(row, v);
                add_scaled(row, -share, v);
            }
        }
    }
}

/// Turns the diagonal beside the main one to 0; false if that does not end.
struct Iterate<'a> {
    n: usize,
    diagonal: &'a mut [f64],
    beside: &'a mut [f64],
    rows: &'a mut [f64],
}

impl Kernel for Iterate<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Iterate { n, diagonal: d, beside: e, rows } = self;
        let (mut last, mut steps) = (n.saturating_sub(1), 0);
        while last > 0 {
            for i in 0..last {
                if e[i].abs() <= f64::EPSILON * (d[i].abs() + d[i + 1].abs()) || e[i].abs() < f64::MIN_POSITIVE {
                    e[i] = 0.0;
                }
            }
            if e[last - 1] == 0.0 {
                last -= 1;
                continue;
            }
            steps += 1;
            if steps > STEPS * n {
                return false;
            }
            let first = (0..last).rev().find(|&i| i == 0 || e[i - 1] == 0.0).unwrap_or(0);
            // Wilkinson's shift: the eigenvalue of the last two rows that is nearer to their corner.
            let half = (d[last - 1] - d[last]) / 2.0;
            let tail = e[last - 1];
            let shift = d[last] - tail * (tail / (half + half.hypot(tail).copysign(half)));
            let (mut x, mut z) = (d[first] - shift, e[first]);
            for k in first..last {
                let length = x.hypot(z);
                let (cos, sin) = if length == 0.0 { (1.0, 0.0) } else { (x / length, z / length) };
                if k > first {
                    e[k - 1] = length;
                }
                let (a, b, c) = (d[k], e[k], d[k + 1]);
                d[k] = cos * cos * a + 2.0 * cos * sin * b + sin * sin * c;
                d[k + 1] = sin * sin * a - 2.0 * cos * sin * b + cos * cos * c;
                e[k] = cos * sin * (c - a) + (cos * cos - sin * sin) * b;
                if k + 1 < last {
                    x = e[k];
                    z = sin * e[k + 1];
                    e[k + 1] *= cos;
                }
                if !rows.is_empty() {
                    let (above, below) = rows[k * n..(k + 2) * n].split_at_mut(n);
                    for (a, b) in above.iter_mut().zip(below) {
                        (*a, *b) = (cos * *a + sin * *b, cos * *b - sin * *a);
                    }
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Philox;

    fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
        (0..m * n).map(|p| (0..k).map(|j| a[p / n * k + j] * b[j * n + p % n]).sum()).collect()
    }

    fn distance(a: &[f64], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        let scale = b.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
        a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs() / scale))
    }

    fn unit(n: usize) -> Vec<f64> {
        (0..n * n).map(|p| if p / n == p % n { 1.0 } else { 0.0 }).collect()
    }

    /// Matrices of all ranks, with zeros, whole numbers, and of sizes whose squares overflow.
    fn matrices() -> impl Iterator<Item = (Vec<f64>, usize, usize)> {
        let mut random = Philox::new(5, 0);
        (0..300).map(move |round| {
            let (m, n) = (1 + random.below(24) as usize, 1 + random.below(24) as usize);
            let rank = 1 + random.below(m.min(n) as u64) as usize;
            let mut normal = |count: usize| (0..count).map(|_| random.normal() as f64).collect::<Vec<_>>();
            let mut a = product(&normal(m * rank), &normal(rank * n), m, rank, n);
            for v in &mut a {
                *v = match round % 6 {
                    1 => *v * 1e-200,
                    2 => *v * 1e200,
                    3 => v.round(),
                    4 if *v < 0.0 => 0.0,
                    _ => *v,
                }
            }
            (a, m, n)
        })
    }

    #[test]
    fn factors_multiply_to_the_matrix_and_q_is_orthonormal() {
        for (a, m, n) in matrices() {
            let (k, (q, r)) = (m.min(n), orthogonal_triangular(a.clone(), m, n));
            assert!(distance(&product(&q, &r, m, k, n), &a) < 1e-13, "{m}×{n}");
            assert!(distance(&product(&transposed(&q, m, k), &q, k, m, k), &unit(k)) < 1e-13, "{m}×{n}");
            assert!((0..k).all(|i| r[i * n + i] >= 0.0 && r[i * n..i * n + i].iter().all(|v| *v == 0.0)));
        }
    }

    #[test]
    fn eigenvalues_and_vectors_make_the_matrix() {
        for (a, m, n) in matrices() {
            // Symmetric, with eigenvalues that repeat where the rank is low.
            let a = product(&a, &transposed(&a.iter().map(|v| v.signum()).collect::<Vec<_>>(), m, n), m, n, m);
            let a: Vec<f64> = (0..m * m).map(|p| a[p] + a[p % m * m + p / m]).collect();
            let (values, vectors) = symmetric_eigen(a.clone(), m, true).unwrap();
            assert!(values.is_sorted());
            let scaled: Vec<f64> = vectors.iter().enumerate().map(|(p, v)| v * values[p % m]).collect();
            assert!(distance(&product(&scaled, &transposed(&vectors, m, m), m, m, m), &a) < 1e-13, "{m}");
            assert!(distance(&product(&transposed(&vectors, m, m), &vectors, m, m, m), &unit(m)) < 1e-13, "{m}");
            assert_eq!(symmetric_eigen(a, m, false).unwrap().0, values);
        }
    }

    #[test]
    fn singular_values_and_vectors_make_the_matrix() {
        for (a, m, n) in matrices() {
            let k = m.min(n);
            let (values, left, right) = singular_values(&a, m, n).unwrap();
            assert!(values.iter().rev().is_sorted() && values.len() == k);
            let scaled: Vec<f64> = left.iter().enumerate().map(|(p, v)| v * values[p / m]).collect();
            assert!(distance(&product(&transposed(&scaled, k, m), &right, m, k, n), &a) < 1e-13, "{m}×{n}");
            let determined = values.iter().filter(|v| **v > 1e-10 * values[0]).count();
            for (vectors, size) in [(&left, m), (&right, n)] {
                let vectors = &vectors[..determined * size];
                let products = product(vectors, &transposed(vectors, determined, size), determined, size, determined);
                assert!(distance(&products, &unit(determined)) < 1e-5, "{m}×{n}");
            }
        }
    }

    #[test]
    fn known_values() {
        // Second differences: 2 − 2·cos(π·k / (n + 1)).
        let n = 50usize;
        let a: Vec<f64> = (0..n * n)
            .map(|p| match (p / n).abs_diff(p % n) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            })
            .collect();
        let expected: Vec<f64> =
            (1..=n).map(|k| 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / (n + 1) as f64).cos()).collect();
        assert!(distance(&symmetric_eigen(a.clone(), n, false).unwrap().0, &expected) < 1e-14);
        let found = singular_values(&a, n, n).unwrap().0;
        assert!(distance(&found, &expected.into_iter().rev().collect::<Vec<_>>()) < 1e-14);
        assert_eq!(symmetric_eigen(vec![0.0; 9], 3, false).unwrap().0, [0.0; 3]);
        assert_eq!(symmetric_eigen(vec![], 0, true).unwrap().0, [0.0; 0]);
        assert_eq!(singular_values(&[], 0, 3).unwrap().0, [0.0; 0]);
    }
}
