//! Matrix products of bfloat16 by AVX512_BF16. Units are pairs: two neighbours along k in 32 bits, the even one low. It is
//! longer than most files because packing, tiles and blocking are one algorithm.

use super::gemm::{Batch, check_bounds, check_disjoint};
use super::half::{Matrix16, Values, ValuesMut, narrow};
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::tile::split_tiles;
use crate::half::Bf16;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of A and columns of B that a tile covers: 24 of 32 registers hold sums.
pub(super) const ROWS: usize = 12;
pub(super) const COLUMNS: usize = 32;
/// Longest run of k summed in registers: a panel of B of this length fills half a second cache, one of A the first.
const K_BLOCK: usize = 1024;
/// Pairs of B packed at a time by all threads together.
const B_BLOCK: usize = 1 << 20;
/// Numbers of A prepared at a time by a thread.
const A_BLOCK: usize = 192 << 10;
/// Multiply-adds below which a product is not worth a second thread.
const SMALL_WORK: usize = 1 << 20;

/// See `gemm_bf16`.
pub fn multiply(
    batch: Batch,
    [m, n, k]: [usize; 3],
    a: Matrix16,
    b: Matrix16,
    bias: Option<&[f32]>,
    c: ValuesMut,
    c_row_stride: usize,
) {
    let [outer, inner] = batch.counts;
    if outer * inner * m * n == 0 {
        return;
    }
    if k > 0 {
        let [ax, bx] = [batch.a_strides, batch.b_strides];
        check_bounds("A", a.values.len(), &[(outer, ax[0]), (inner, ax[1]), (m, a.row_stride), (k, a.column_stride)]);
        check_bounds("B", b.values.len(), &[(outer, bx[0]), (inner, bx[1]), (k, b.row_stride), (n, b.column_stride)]);
    }
    let mut c_axes = [(outer, batch.c_strides[0]), (inner, batch.c_strides[1]), (m, c_row_stride), (n, 1)];
    check_bounds("C", c.len(), &c_axes);
    check_disjoint(&mut c_axes);
    if let Some(bias) = bias {
        assert!(bias.len() >= n, "the bias has {} values for {n} columns", bias.len());
    }
    let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
    let target = match c {
        ValuesMut::Wide(c) => Target::Wide(c.as_mut_ptr()),
        ValuesMut::Narrow(c) => Target::Narrow(c.as_mut_ptr()),
    };
    let (a, b) = (Operand::of(a), Operand::of(b).transposed());
    let shared = Shared((a, b, target, bias));
    let run = |index: usize| {
        let (a, b, target, bias) = shared.get();
        let [i, j] = [index / inner, index % inner];
        let at = |strides: [usize; 2]| i * strides[0] + j * strides[1];
        let product = Product {
            m,
            n,
            k,
            a: a.offset(at(batch.a_strides)),
            b: b.offset(at(batch.b_strides)),
            c: target.offset(at(batch.c_strides)),
            c_stride: c_row_stride,
            bias,
        };
        // SAFETY: the sizes were checked against the slices above, and the matrices of C are disjoint; the caller asked
        // whether the processor has the instructions.
        unsafe { product.run() }
    };
    let count = outer * inner;
    let work = m * n * k.max(1);
    if count == 1 || (count < num_threads() && work > SMALL_WORK) {
        (0..count).for_each(run);
    } else {
        let group = (SMALL_WORK / work).clamp(1, count);
        parallel_for(count.div_ceil(group), |task| (task * group..((task + 1) * group).min(count)).for_each(run));
    }
}

/// Addresses that tasks may share.
struct Shared<T>(T);

impl<T: Copy> Shared<T> {
    fn get(&self) -> T {
        self.0
    }
}

// SAFETY: operands are only read while their slices are borrowed; tasks write disjoint parts of C.
unsafe impl<T> Sync for Shared<T> {}

/// The lines of a matrix, each running along k: rows of A, columns of B.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pointer: Pointer,
    line_stride: usize,
    depth_stride: usize,
}

#[derive(Clone, Copy)]
enum Pointer {
    Wide(*const f32),
    Narrow(*const Bf16),
}

impl Operand {
    /// Lines are rows.
    pub(super) fn of(matrix: Matrix16) -> Operand {
        let pointer = match matrix.values {
            Values::Wide(values) => Pointer::Wide(values.as_ptr()),
            Values::Narrow(values) => Pointer::Narrow(values.as_ptr()),
        };
        Operand { pointer, line_stride: matrix.row_stride, depth_stride: matrix.column_stride }
    }

    fn transposed(self) -> Operand {
        Operand { pointer: self.pointer, line_stride: self.depth_stride, depth_stride: self.line_stride }
    }

    fn offset(self, by: usize) -> Operand {
        let pointer = match self.pointer {
            Pointer::Wide(p) => Pointer::Wide(p.wrapping_add(by)),
            Pointer::Narrow(p) => Pointer::Narrow(p.wrapping_add(by)),
        };
        Operand { pointer, ..self }
    }

    fn at(self, line: usize, depth: usize) -> Operand {
        self.offset(line * self.line_stride + depth * self.depth_stride)
    }
}

/// Where sums go.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Wide(*mut f32),
    Narrow(*mut Bf16),
}

impl Target {
    pub(super) fn offset(self, by: usize) -> Target {
        match self {
            Target::Wide(p) => Target::Wide(p.wrapping_add(by)),
            Target::Narrow(p) => Target::Narrow(p.wrapping_add(by)),
        }
    }
}

/// One product on raw pointers; every operand was checked.
#[derive(Clone, Copy)]
struct Product {
    m: usize,
    n: usize,
    k: usize,
    a: Operand,
    b: Operand,
    c: Target,
    c_stride: usize,
    bias: *const f32,
}

// SAFETY: see `Shared`.
unsafe impl Sync for Product {}

impl Product {
    /// # Safety
    /// Operands are valid for the sizes and strides, nobody else uses this C, and the processor has AVX512_BF16.
    unsafe fn run(&self) {
        match self.c {
            // Sums of several blocks of k are kept in float32.
            Target::Narrow(c) if self.k > K_BLOCK => with_scratch(self.m * self.n, |sums: &mut [f32]| {
                let wide = Product { c: Target::Wide(sums.as_mut_ptr()), c_stride: self.n, ..*self };
                // SAFETY: as promised, and `sums` holds m rows of n; the rows of C are written once each.
                unsafe {
                    wide.blocked();
                    for (i, line) in sums.chunks_exact(self.n).enumerate() {
                        narrow(line, std::slice::from_raw_parts_mut(c.add(i * self.c_stride), self.n));
                    }
                }
            }),
            // SAFETY: as promised.
            _ => unsafe { self.blocked() },
        }
    }

    unsafe fn blocked(&self) {
        let Product { n, k, .. } = *self;
        let k_step = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).next_multiple_of(2).max(2);
        let n_step = (B_BLOCK / (k_step / 2) / COLUMNS * COLUMNS).min(n.next_multiple_of(COLUMNS));
        let depth_step = (B_BLOCK / n_step / (k_step / 2)).max(1).min(k.div_ceil(k_step).max(1)) * k_step;
        with_pairs(n_step * (depth_step / 2), |packed| {
            for column in (0..n).step_by(n_step) {
                for depth in (0..k.max(1)).step_by(depth_step) {
                    let depths = depth..(depth + depth_step).min(k);
                    let block = Block { product: *self, columns: column..(column + n_step).min(n), depths, k_step };
                    // SAFETY: the block lies within the operands.
                    unsafe {
                        block.pack_b(packed);
                        block.multiply(packed);
                    }
                }
            }
        });
    }
}

/// Columns of C and a part of their sums.
struct Block {
    product: Product,
    columns: Range<usize>,
    depths: Range<usize>,
    k_step: usize,
}

impl Block {
    /// Panels one after the other, each [pairs of the block, COLUMNS].
    unsafe fn pack_b(&self, packed: &mut [u32]) {
        let panels = self.columns.len().div_ceil(COLUMNS);
        let depth = self.depths.len();
        let panel_len = COLUMNS * depth.div_ceil(2);
        let shared = SharedPointer::new(packed);
        let b = Shared(self.product.b);
        let group = ((1 << 13) / panel_len.max(1)).max(1);
        parallel_for(panels.div_ceil(group), |task| {
            for panel in task * group..((task + 1) * group).min(panels) {
                let at = self.columns.start + panel * COLUMNS;
                let lines = COLUMNS.min(self.columns.end - at);
                // SAFETY: the panel lies in B and in the packed block, and is this task's own.
                unsafe {
                    let to = shared.slice(panel * panel_len..(panel + 1) * panel_len);
                    pack::<COLUMNS>(b.get().at(at, self.depths.start), lines, depth, to);
                }
            }
        });
    }

    unsafe fn multiply(&self, packed_b: &[u32]) {
        let product = &self.product;
        let row_tiles = product.m.div_ceil(ROWS);
        let panels = self.columns.len().div_ceil(COLUMNS);
        let row_limit = (A_BLOCK / self.k_step / ROWS).max(1);
        let threads = if product.m * self.columns.len() * self.depths.len() <= SMALL_WORK { 1 } else { num_threads() };
        let [row_tasks, column_tasks] = split_tiles(row_tiles, panels, row_limit, threads);
        parallel_for(row_tasks * column_tasks, |task| {
            let (row_task, column_task) = (task % row_tasks, task / row_tasks);
            let rows = row_tiles * row_task / row_tasks..row_tiles * (row_task + 1) / row_tasks;
            let panels = panels * column_task / column_tasks..panels * (column_task + 1) / column_tasks;
            // SAFETY: the rows and columns lie in C and are this task's own.
            unsafe { self.part(rows, panels, packed_b) };
        });
    }

    /// Tiles `rows` × panels `panels`.
    unsafe fn part(&self, rows: Range<usize>, panels: Range<usize>, packed_b: &[u32]) {
        let product = &self.product;
        let panel_len = COLUMNS * self.depths.len().div_ceil(2);
        let starts = self.depths.clone().step_by(self.k_step);
        // No k at all still writes zeros and the bias.
        let steps: Vec<usize> = if self.depths.is_empty() { vec![self.depths.start] } else { starts.collect() };
        for start in steps {
            let k = self.k_step.min(self.depths.end - start);
            let pairs = k.div_ceil(2);
            // SAFETY: rows, panels and depths lie within the operands; edges are cut to the matrix.
            unsafe {
                with_left(product.a.at(rows.start * ROWS, start), rows.clone(), product.m, k, |left: Left| {
                    for panel in panels.clone() {
                        let at = self.columns.start + panel * COLUMNS;
                        let width = COLUMNS.min(self.columns.end - at);
                        let b = packed_b.as_ptr().add(panel * panel_len + (start - self.depths.start) / 2 * COLUMNS);
                        for tile in rows.clone() {
                            let row = tile * ROWS;
                            let out = Output {
                                c: product.c.offset(row * product.c_stride + at),
                                stride: product.c_stride,
                                rows: ROWS.min(product.m - row),
                                columns: width,
                                accumulate: start > 0,
                                bias: match product.bias.is_null() || start > 0 {
                                    true => std::ptr::null(),
                                    false => product.bias.add(at),
                                },
                            };
                            left.tile(pairs, tile - rows.start, b, &out);
                        }
                    }
                });
            }
        }
    }
}

/// Some rows of A as tiles read them.
#[derive(Clone, Copy)]
enum Left {
    /// Pair (row, p) at `row * stride / 2 + p`, addressed in bfloat16 so that the stride may be odd.
    Rows { from: *const Bf16, stride: usize, whole: usize, rest: *const Bf16, rest_stride: usize },
    /// Panels of pairs, (p, row) at `p * ROWS + row`.
    Panels { from: *const u32, panel_len: usize },
}

impl Left {
    #[inline(always)]
    unsafe fn tile(self, pairs: usize, index: usize, b: *const u32, out: &Output) {
        // SAFETY: the caller made the rows for this tile.
        unsafe {
            match self {
                Left::Rows { from, stride, whole, .. } if index < whole => {
                    run_tile::<true>(pairs, from.add(index * ROWS * stride).cast(), stride, b, out);
                }
                Left::Rows { whole, rest, rest_stride, .. } => {
                    run_tile::<true>(pairs, rest.add((index - whole) * ROWS * rest_stride).cast(), rest_stride, b, out);
                }
                Left::Panels { from, panel_len } => {
                    run_tile::<false>(pairs, from.add(index * panel_len).cast(), 0, b, out);
                }
            }
        }
    }
}

/// Makes tiles `rows` of A (whose first is at `a`) readable for `k` steps: where they lie if they can be read there, else
/// rounded and copied. `m`: rows of the whole matrix.
unsafe fn with_left(a: Operand, rows: Range<usize>, m: usize, k: usize, run: impl FnOnce(Left)) {
    let lines = (rows.end * ROWS).min(m) - rows.start * ROWS;
    let tiles = rows.len();
    if a.depth_stride != 1 {
        let panel_len = ROWS * k.div_ceil(2);
        return with_pairs(tiles * panel_len, |packed| {
            for (tile, to) in packed.chunks_exact_mut(panel_len.max(1)).enumerate().take(tiles) {
                let lines = ROWS.min(lines - tile * ROWS);
                // SAFETY: the lines of A can be read for k steps, and `to` is as long as the panel.
                unsafe { pack::<ROWS>(a.at(tile * ROWS, 0), lines, k, to) };
            }
            run(Left::Panels { from: packed.as_ptr(), panel_len });
        });
    }
    // In place: bfloat16 rows with a whole number of pairs. The last rows are copied where a tile would read beyond them.
    let (direct, whole) = match a.pointer {
        Pointer::Narrow(from) if k.is_multiple_of(2) => (from, lines / ROWS),
        _ => (std::ptr::null(), 0),
    };
    let stride = odd_lines(k);
    with_pairs((tiles - whole) * ROWS * stride / 2, |copied| {
        let rest = copied.as_mut_ptr().cast::<Bf16>();
        for line in whole * ROWS..lines {
            // SAFETY: the line of A can be read for k steps; scratch has `stride` values for each line that is copied.
            unsafe { copy_line(a.at(line, 0), k, rest.add((line - whole * ROWS) * stride)) };
        }
        run(Left::Rows { from: direct, stride: a.line_stride, whole, rest, rest_stride: stride });
    });
}

/// A row stride of whole cache lines whose count is odd: neighbouring rows never fall into one set of the cache.
pub(super) fn odd_lines(len: usize) -> usize {
    (len.div_ceil(32) | 1) * 32
}

/// Lends pairs: scratch memory of 32-bit units.
pub(super) fn with_pairs<R>(len: usize, run: impl FnOnce(&mut [u32]) -> R) -> R {
    with_scratch(len, |scratch: &mut [f32]| {
        // SAFETY: the same size and alignment, and every bit pattern is a u32.
        run(unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast::<u32>(), scratch.len()) })
    })
}

/// Rounds one line of k to bfloat16; a last odd one is followed by a zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn copy_line(line: Operand, k: usize, to: *mut Bf16) {
    // SAFETY: the caller promises k readable elements and room for k rounded up to pairs.
    unsafe {
        for p in (0..k).step_by(16) {
            let lanes = load(line.pointer, p, mask(k - p));
            _mm256_mask_storeu_epi16(to.add(p).cast(), mask((k - p).next_multiple_of(2)), lanes);
        }
    }
}

/// The first `count` of 16 lanes.
fn mask(count: usize) -> u16 {
    if count >= 16 { u16::MAX } else { (1 << count) - 1 }
}

/// Up to 16 consecutive numbers as bfloat16; zeros where the mask is off.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn load(from: Pointer, offset: usize, mask: u16) -> __m256i {
    // SAFETY: the caller promises that the lanes of the mask can be read.
    unsafe {
        match from {
            Pointer::Wide(p) => {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, p.add(offset))))
            }
            Pointer::Narrow(p) => _mm256_maskz_loadu_epi16(mask, p.add(offset).cast()),
        }
    }
}

/// Packs `lines` ≤ WIDTH lines for `depth` steps of k into a panel of pairs: (line, p) at `p * WIDTH + line`. Missing
/// lines, and the second of a last odd step, become zeros.
///
/// # Safety
/// The lines can be read, `to` holds WIDTH pairs for each two steps, and the processor has AVX512_BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn pack<const WIDTH: usize>(from: Operand, lines: usize, depth: usize, to: &mut [u32]) {
    debug_assert_eq!(to.len(), WIDTH * depth.div_ceil(2));
    // SAFETY: passed on.
    unsafe {
        if from.line_stride == 1 {
            for (p, to) in to.chunks_exact_mut(WIDTH).enumerate() {
                for first in (0..WIDTH).step_by(16) {
                    let seen = if lines > first { mask(lines - first) } else { 0 };
                    let even = load(from.at(first, 2 * p).pointer, 0, seen);
                    let odd = match 2 * p + 1 < depth {
                        true => load(from.at(first, 2 * p + 1).pointer, 0, seen),
                        false => _mm256_setzero_si256(),
                    };
                    let pairs = _mm512_or_si512(
                        _mm512_cvtepu16_epi32(even),
                        _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd)),
                    );
                    let room = mask(WIDTH - first);
                    _mm512_mask_storeu_epi32(to.as_mut_ptr().add(first).cast(), room, pairs);
                }
            }
        } else if from.depth_stride == 1 {
            to.fill(0);
            let mut pairs = [0u32; 8];
            for line in 0..lines {
                let run = from.at(line, 0).pointer;
                for p in (0..depth).step_by(16) {
                    let lanes = load(run, p, mask(depth - p));
                    _mm256_storeu_si256(pairs.as_mut_ptr().cast(), lanes);
                    for (q, pair) in pairs.iter().enumerate().take((depth - p).div_ceil(2)) {
                        to[(p / 2 + q) * WIDTH + line] = *pair;
                    }
                }
            }
        } else {
            for (p, to) in to.chunks_exact_mut(WIDTH).enumerate() {
                for (line, pair) in to.iter_mut().enumerate() {
                    let one = |step: usize| match line < lines && step < depth {
                        true => match from.at(line, step).pointer {
                            Pointer::Wide(p) => Bf16::from_f32(*p).0,
                            Pointer::Narrow(p) => (*p).0,
                        },
                        false => 0,
                    };
                    *pair = u32::from(one(2 * p)) | u32::from(one(2 * p + 1)) << 16;
                }
            }
        }
    }
}

/// Where a tile's sums go: `c = sum (+ c) (+ bias)`; only float32 accumulates.
pub(super) struct Output {
    pub c: Target,
    pub stride: usize,
    /// The part of the tile that lies in the matrix.
    pub rows: usize,
    pub columns: usize,
    pub accumulate: bool,
    /// `columns` values to add to every row, or null.
    pub bias: *const f32,
}

/// A tile: ROWS lines of A times a panel of B. `BY_ROWS`: row i begins `i * stride` bfloat16 behind `a`; else A is a panel.
///
/// # Safety
/// A can be read for ROWS rows and B for COLUMNS columns, `pairs` pairs each; C as `out` says; the processor has AVX512_BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn run_tile<const BY_ROWS: bool>(
    pairs: usize,
    a: *const u32,
    stride: usize,
    b: *const u32,
    out: &Output,
) {
    // SAFETY: passed on.
    unsafe {
        match out.rows {
            1..=4 => sums::<4, BY_ROWS>(pairs, a, stride, b, out),
            5..=8 => sums::<8, BY_ROWS>(pairs, a, stride, b, out),
            _ => sums::<12, BY_ROWS>(pairs, a, stride, b, out),
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn sums<const N: usize, const BY_ROWS: bool>(
    pairs: usize,
    a: *const u32,
    stride: usize,
    b: *const u32,
    out: &Output,
) {
    // SAFETY: passed on.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        // Rows are reached from every third by adding the stride once or twice, as addresses of x86 can.
        let bytes = if BY_ROWS { stride * 2 } else { 4 };
        let mut bases: [*const u8; N] = [a.cast(); N];
        for i in 0..N {
            bases[i] = a.cast::<u8>().wrapping_add(i / 3 * 3 * bytes);
        }
        let mut b = b;
        let mut panel: *const u32 = a;
        for _ in 0..pairs {
            let right: [__m512bh; 2] = [
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.cast())),
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.add(16).cast())),
            ];
            for i in 0..N {
                let pair = match BY_ROWS {
                    true => bases[i].add(i % 3 * bytes).cast::<i32>().read_unaligned(),
                    false => panel.add(i).cast::<i32>().read_unaligned(),
                };
                let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair));
                sums[i][0] = _mm512_dpbf16_ps(sums[i][0], left, right[0]);
                sums[i][1] = _mm512_dpbf16_ps(sums[i][1], left, right[1]);
            }
            if BY_ROWS {
                for i in 0..N {
                    bases[i] = bases[i].wrapping_add(4);
                }
            } else {
                panel = panel.wrapping_add(ROWS);
            }
            b = b.wrapping_add(COLUMNS);
        }
        let seen = [mask(out.columns), if out.columns > 16 { mask(out.columns - 16) } else { 0 }];
        let mut bias = [_mm512_setzero_ps(); 2];
        if !out.bias.is_null() {
            bias =
                [_mm512_maskz_loadu_ps(seen[0], out.bias), _mm512_maskz_loadu_ps(seen[1], out.bias.wrapping_add(16))];
        }
        macro_rules! each_row {
            ($($i:literal)*) => {$(
                if $i < N && $i < out.rows {
                    for j in 0..2 {
                        let mut value = _mm512_add_ps(sums[$i % N][j], bias[j]);
                        match out.c {
                            Target::Wide(c) => {
                                let c = c.wrapping_add($i * out.stride + 16 * j);
                                if out.accumulate {
                                    value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(seen[j], c));
                                }
                                _mm512_mask_storeu_ps(c, seen[j], value);
                            }
                            Target::Narrow(c) => {
                                let c = c.wrapping_add($i * out.stride + 16 * j);
                                let value = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(value));
                                _mm256_mask_storeu_epi16(c.cast(), seen[j], value);
                            }
                        }
                    }
                }
            )*};
        }
        each_row!(0 1 2 3 4 5 6 7 8 9 10 11);
    }
}
