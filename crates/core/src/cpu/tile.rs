//! The register tile at the heart of matrix products and convolutions: a few rows of A times a panel of B, summed over
//! k in registers. It blocks for no cache and starts no thread; its callers do.

use super::dispatch::Isa;
use super::vector::{Baseline32, Baseline64, Real, Vector};

/// The tile kernels of one instruction set for one number type.
pub struct Tile<T> {
    /// Rows of A and C that a tile covers.
    pub rows: usize,
    /// Columns of B and C that a tile covers: the width of a packed panel of B.
    pub columns: usize,
    /// A is a packed panel: element (i, p) at `p * rows + i`, rows beyond the matrix present. `a_stride` is not read.
    pub packed: Run<T>,
    /// A lies in rows: element (i, p) at `i * a_stride + p`, all `rows` of them readable.
    pub by_rows: Run<T>,
    /// A lies in columns: element (i, p) at `p * a_stride + i`, all `rows` of them readable.
    pub by_columns: Run<T>,
}

/// `run(k, a, a_stride, b, b_stride, out)`: row p of B is `b[p * b_stride..][..columns]`, all of it readable.
///
/// Each element of C is the sum over p in order, by fused multiply-add where there is one, wherever in a tile it stands.
///
/// # Safety
/// The instruction set is available; A and B can be read as stated for `k` values of p; C can be written as
/// [`Output`] says.
pub type Run<T> = unsafe fn(usize, *const T, usize, *const T, usize, &Output<T>);

/// Where a tile's sums go: `c = alpha * sum (+ c) (+ bias)`.
pub struct Output<T> {
    /// Element (0, 0); element (i, j) is at `i * stride + j`.
    pub c: *mut T,
    pub stride: usize,
    /// The part of the tile that lies in the matrix, at least 1 and at most the tile.
    pub rows: usize,
    pub columns: usize,
    pub alpha: T,
    /// Add to what C holds; otherwise C is not read.
    pub accumulate: bool,
    /// `columns` values to add to every row, or null.
    pub bias: *const T,
}

/// Number types that have tile kernels.
pub trait Tiled: Sized {
    /// The kernels for an instruction set; those of the baseline where the machine's architecture is another.
    fn tile(isa: Isa) -> &'static Tile<Self>;
}

const PACKED: u8 = 0;
const BY_ROWS: u8 = 1;
const BY_COLUMNS: u8 = 2;

/// The body once for each row below a bound, every `$i` a constant: a loop might not be unrolled, and an index that is not
/// constant would keep the sums of a tile in memory.
macro_rules! each_row {
    ($i:ident < $bound:expr => $body:expr) => {
        each_row!(@ $i, $bound, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident, $bound:expr, $body:expr, $($row:literal)*) => {
        $(
            if $row < ROWS && $row < $bound {
                let $i: usize = $row;
                $body;
            }
        )*
    };
}

/// The one tile kernel. `FULL` rows are the panel's; `ROWS` ≤ `FULL` are computed.
#[inline(always)]
unsafe fn multiply<V: Vector, const FULL: usize, const ROWS: usize, const VECTORS: usize, const ORDER: u8>(
    k: usize,
    a: *const V::Scalar,
    a_stride: usize,
    b: *const V::Scalar,
    b_stride: usize,
    out: &Output<V::Scalar>,
) {
    // SAFETY: the caller promises readable operands, a writable part of C and the instruction set.
    unsafe {
        let mut sums = [[V::splat(V::Scalar::ZERO); VECTORS]; ROWS];
        // Rows are reached from every third by adding the stride once or twice, as addresses of x86 can: a pointer for
        // each row would not fit the registers.
        let mut bases: [*const V::Scalar; ROWS] = [a; ROWS];
        for i in 0..ROWS {
            bases[i] = a.wrapping_add(i / 3 * 3 * a_stride);
        }
        // C is far away in a large product; its lines come while the sums are made.
        for i in 0..ROWS {
            let c = out.c.wrapping_add(i * out.stride);
            V::prefetch(c);
            V::prefetch(c.wrapping_add(VECTORS * V::LANES - 1));
        }
        let (mut a, mut b) = (a, b);
        for _ in 0..k {
            let mut panel = [V::splat(V::Scalar::ZERO); VECTORS];
            for j in 0..VECTORS {
                panel[j] = V::load(b.add(j * V::LANES));
            }
            for i in 0..ROWS {
                let factor = V::splat(if ORDER == BY_ROWS { *bases[i].add(i % 3 * a_stride) } else { *a.add(i) });
                for j in 0..VECTORS {
                    sums[i][j] = factor.mul_add(panel[j], sums[i][j]);
                }
            }
            if ORDER == BY_ROWS {
                for i in 0..ROWS {
                    bases[i] = bases[i].wrapping_add(1);
                }
            }
            a = a.wrapping_add(if ORDER == PACKED { FULL } else { a_stride });
            b = b.wrapping_add(b_stride);
        }
        if out.columns == VECTORS * V::LANES {
            let mut bias = [V::splat(V::Scalar::ZERO); VECTORS];
            if !out.bias.is_null() {
                for j in 0..VECTORS {
                    bias[j] = V::load(out.bias.add(j * V::LANES));
                }
            }
            if out.accumulate {
                each_row!(i < out.rows => store_row::<V, VECTORS, true>(sums[i], bias, i, out));
            } else {
                each_row!(i < out.rows => store_row::<V, VECTORS, false>(sums[i], bias, i, out));
            }
        } else {
            let mut line = [V::Scalar::ZERO; 64];
            each_row!(i < out.rows => {
                for j in 0..VECTORS {
                    sums[i][j].store(line.as_mut_ptr().add(j * V::LANES));
                }
                store_edge(&line, i, out);
            });
        }
    }
}

/// Row i of a tile that is as wide as its vectors.
#[inline(always)]
unsafe fn store_row<V: Vector, const VECTORS: usize, const ACCUMULATE: bool>(
    sums: [V; VECTORS],
    bias: [V; VECTORS],
    i: usize,
    out: &Output<V::Scalar>,
) {
    // SAFETY: the caller promises a writable row of C.
    unsafe {
        let alpha = V::splat(out.alpha);
        let c = out.c.add(i * out.stride);
        for j in 0..VECTORS {
            let at = c.add(j * V::LANES);
            let mut value = alpha.mul(sums[j]).add(bias[j]);
            if ACCUMULATE {
                value = value.add(V::load(at));
            }
            value.store(at);
        }
    }
}

/// Row i of a tile at the right edge of the matrix, from its sums: the same operations on each element.
#[inline(never)]
unsafe fn store_edge<T: Real>(sums: &[T; 64], i: usize, out: &Output<T>) {
    // SAFETY: the caller promises a writable row of C and, where not null, a bias of `out.columns` values.
    unsafe {
        let c = out.c.add(i * out.stride);
        for j in 0..out.columns {
            let bias = if out.bias.is_null() { T::ZERO } else { *out.bias.add(j) };
            let mut value = out.alpha * sums[j] + bias;
            if out.accumulate {
                value += *c.add(j);
            }
            *c.add(j) = value;
        }
    }
}

/// A `Tile` of `$rows` rows ($half for the lower edge) and `$vectors` vectors, compiled with the given features.
macro_rules! tile {
    ($(#[$features:meta])* $vector:ty, $scalar:ty, $rows:literal, $half:literal, $vectors:literal) => {{
        tile!(@function packed, PACKED, $(#[$features])* $vector, $scalar, $rows, $half, $vectors);
        tile!(@function by_rows, BY_ROWS, $(#[$features])* $vector, $scalar, $rows, $half, $vectors);
        tile!(@function by_columns, BY_COLUMNS, $(#[$features])* $vector, $scalar, $rows, $half, $vectors);
        &Tile { rows: $rows, columns: $vectors * <$vector as Vector>::LANES, packed, by_rows, by_columns }
    }};
    (@function $name:ident, $order:ident, $(#[$features:meta])* $vector:ty, $scalar:ty, $rows:literal, $half:literal,
        $vectors:literal) => {
        $(#[$features])*
        unsafe fn $name(
            k: usize, a: *const $scalar, a_stride: usize, b: *const $scalar, b_stride: usize, out: &Output<$scalar>,
        ) {
            // SAFETY: the caller promises what `Run` asks for.
            unsafe {
                match (out.rows <= $half, out.columns <= <$vector as Vector>::LANES) {
                    (true, false) => multiply::<$vector, $rows, $half, $vectors, $order>(k, a, a_stride, b, b_stride, out),
                    (false, false) => multiply::<$vector, $rows, $rows, $vectors, $order>(k, a, a_stride, b, b_stride, out),
                    // The last panel of 65 keys has one column: half of its arithmetic would be thrown away.
                    (true, true) => multiply::<$vector, $rows, $half, 1, $order>(k, a, a_stride, b, b_stride, out),
                    (false, true) => multiply::<$vector, $rows, $rows, 1, $order>(k, a, a_stride, b, b_stride, out),
                }
            }
        }
    };
}

impl Tiled for f32 {
    fn tile(isa: Isa) -> &'static Tile<f32> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => tile!(
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                std::arch::x86_64::__m512,
                f32,
                12,
                6,
                2
            ),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => tile!(
                #[target_feature(enable = "avx2,fma")]
                std::arch::x86_64::__m256,
                f32,
                6,
                3,
                2
            ),
            // 32 registers.
            #[cfg(target_arch = "aarch64")]
            _ => tile!(Baseline32, f32, 8, 4, 2),
            // 16 registers.
            #[cfg(not(target_arch = "aarch64"))]
            _ => tile!(Baseline32, f32, 6, 3, 2),
        }
    }
}

impl Tiled for f64 {
    fn tile(isa: Isa) -> &'static Tile<f64> {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => tile!(
                #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
                std::arch::x86_64::__m512d,
                f64,
                12,
                6,
                2
            ),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => tile!(
                #[target_feature(enable = "avx2,fma")]
                std::arch::x86_64::__m256d,
                f64,
                6,
                3,
                2
            ),
            #[cfg(target_arch = "aarch64")]
            _ => tile!(Baseline64, f64, 8, 4, 2),
            #[cfg(not(target_arch = "aarch64"))]
            _ => tile!(Baseline64, f64, 6, 3, 2),
        }
    }
}

/// How to share out a product of `row_tiles` × `panels` tiles: counts of row and column tasks. Each row task prepares
/// its part of A once and takes at most `row_limit` tiles; columns are split only where rows do not keep all threads busy.
pub fn split_tiles(row_tiles: usize, panels: usize, row_limit: usize, threads: usize) -> [usize; 2] {
    let needed = row_tiles.div_ceil(row_limit.max(1));
    let rows = match row_tiles {
        tiles if tiles >= 16 * threads => needed.next_multiple_of(2 * threads),
        tiles if tiles >= 4 * threads => needed.next_multiple_of(threads),
        _ => needed,
    };
    [rows, if rows < threads { (2 * threads).div_ceil(rows).min(panels) } else { 1 }]
}

/// The shape of the AVX-512 tile in plain arrays, so that machines without AVX-512 test the drivers with its width.
#[cfg(test)]
pub fn wide_tile() -> &'static Tile<f32> {
    tile!(super::vector::Lanes<f32, 16>, f32, 12, 6, 2)
}

#[cfg(test)]
mod tests {
    use super::super::dispatch::available_isas;
    use super::*;

    /// One tile against a plain loop, in the three orders of A, with edges, alpha, bias and accumulation.
    fn check<T: Real>(tile: &Tile<T>) {
        let number = |i: usize| T::from_f64(((i * 37 + 11) % 64) as f64 / 32.0 - 1.0);
        for (k, rows, columns) in [(0, 1, 1), (1, tile.rows, tile.columns), (7, 1, tile.columns - 1), (50, 3, 3)]
            .into_iter()
            .chain((1..=tile.rows).map(|rows| (9, rows, tile.columns)))
        {
            let b_stride = tile.columns + 3;
            let b: Vec<T> = (0..k * b_stride + tile.columns).map(number).collect();
            let bias: Vec<T> = (0..tile.columns).map(|j| number(j + 5)).collect();
            let a = |i: usize, p: usize| number(i * 101 + p * 7);
            let (rows_stride, columns_stride) = (k + 1, tile.rows + 2);
            let packed: Vec<T> = (0..k * tile.rows).map(|at| a(at % tile.rows, at / tile.rows)).collect();
            let by_rows: Vec<T> =
                (0..tile.rows * rows_stride).map(|at| a(at / rows_stride, at % rows_stride)).collect();
            let by_columns: Vec<T> =
                (0..(k + 1) * columns_stride).map(|at| a(at % columns_stride, at / columns_stride)).collect();
            for (run, data, stride) in [
                (tile.packed, &packed, 0),
                (tile.by_rows, &by_rows, rows_stride),
                (tile.by_columns, &by_columns, columns_stride),
            ] {
                for (accumulate, with_bias) in [(false, false), (true, false), (false, true), (true, true)] {
                    let c_stride = columns + 2;
                    let before = if accumulate { T::ONE } else { T::from_f64(f64::NAN) };
                    let mut c = vec![before; rows * c_stride];
                    let out = Output {
                        c: c.as_mut_ptr(),
                        stride: c_stride,
                        rows,
                        columns,
                        alpha: T::from_f64(0.5),
                        accumulate,
                        bias: if with_bias { bias.as_ptr() } else { std::ptr::null() },
                    };
                    // SAFETY: the operands were made with the sizes that the tile reads.
                    unsafe { run(k, data.as_ptr(), stride, b.as_ptr(), b_stride, &out) };
                    for i in 0..rows {
                        for j in 0..columns {
                            let sum: f64 = (0..k).map(|p| a(i, p).to_f64() * b[p * b_stride + j].to_f64()).sum();
                            let start = if accumulate { 1.0 } else { 0.0 };
                            let want = 0.5 * sum + start + if with_bias { bias[j].to_f64() } else { 0.0 };
                            let got = c[i * c_stride + j].to_f64();
                            assert!((got - want).abs() < 1e-4, "({i}, {j}) of {rows}×{columns}×{k}: {got} ≠ {want}");
                        }
                        // Beyond the edge nothing is written.
                        for j in columns..c_stride {
                            assert!(c[i * c_stride + j] == before || !accumulate);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn tiles_of_every_isa_match_a_plain_loop() {
        for &isa in available_isas() {
            check(f32::tile(isa));
            check(f64::tile(isa));
        }
        check(wide_tile());
    }
}
