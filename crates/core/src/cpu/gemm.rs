//! Matrix products: packed, cache-blocked and parallel, over matrices with any strides. Transposing costs nothing.
//!
//! Promise: an element of C is summed over k in an order that depends on k alone, so a product has the same bits for
//! every thread count and wherever the element stands; only the instruction set (fused or not) can change them.
//!
//! The file is long because checks, blocking, packing and the tests of all of them are one algorithm.

use super::dispatch::{Kernel, dispatch, isa};
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::tile::{Output, Tile, split_tiles};
use super::transpose::pack_lines;
use super::vector::Real;
use std::ops::Range;

/// A matrix in a slice: element (i, j) at `i * row_stride + j * column_stride`. A stride of 0 repeats.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows one after the other, `columns` long.
    pub fn row_major(data: &'a [T], columns: usize) -> Self {
        Matrix { data, row_stride: columns, column_stride: 1 }
    }

    /// The same data with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Matrix { data: self.data, row_stride: self.column_stride, column_stride: self.row_stride }
    }
}

/// What a product does with C.
#[derive(Clone, Copy)]
pub enum Update<'a, T> {
    /// C = alpha·A·B; C is not read.
    Overwrite,
    /// C += alpha·A·B.
    Accumulate,
    /// C = alpha·A·B + bias, one value a column; C is not read.
    Bias(&'a [T]),
}

/// The C of a product: [m, n] for an A of [m, k] and a B of [k, n]. Element (i, j) of `c` is at `i * c_row_stride + j`.
///
/// # Panics
/// If a slice is too short for its sizes and strides, or rows of C overlap.
pub fn gemm<T: Real>(
    [m, n, k]: [usize; 3],
    alpha: T,
    a: Matrix<T>,
    b: Matrix<T>,
    update: Update<T>,
    c: &mut [T],
    c_row_stride: usize,
) {
    let sizes = Batch { counts: [1, 1], a_strides: [0, 0], b_strides: [0, 0], c_strides: [0, 0] };
    gemm_batched(sizes, [m, n, k], alpha, a, b, update, c, c_row_stride);
}

/// Many products of one size: counts and strides (in elements) of two batch axes. A stride of 0 in A or B repeats a matrix.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    pub counts: [usize; 2],
    pub a_strides: [usize; 2],
    pub b_strides: [usize; 2],
    pub c_strides: [usize; 2],
}

impl Batch {
    /// A single product.
    pub const ONE: Batch = Batch { counts: [1, 1], a_strides: [0, 0], b_strides: [0, 0], c_strides: [0, 0] };
}

/// [`gemm`] for each matrix of a batch; the matrices of C may interleave (heads of an attention) but not overlap.
///
/// # Panics
/// As [`gemm`], and if matrices of C overlap.
pub fn gemm_batched<T: Real>(
    batch: Batch,
    [m, n, k]: [usize; 3],
    alpha: T,
    a: Matrix<T>,
    b: Matrix<T>,
    update: Update<T>,
    c: &mut [T],
    c_row_stride: usize,
) {
    batched(T::tile(isa()), batch, [m, n, k], alpha, a, b, update, c, c_row_stride);
}

/// [`gemm_batched`] with a given tile.
fn batched<T: Real>(
    tile: &'static Tile<T>,
    batch: Batch,
    [m, n, k]: [usize; 3],
    alpha: T,
    a: Matrix<T>,
    b: Matrix<T>,
    update: Update<T>,
    c: &mut [T],
    c_row_stride: usize,
) {
    let [outer, inner] = batch.counts;
    if outer * inner * m * n == 0 {
        return;
    }
    if k > 0 {
        check_bounds(
            "A",
            a.data.len(),
            &[(outer, batch.a_strides[0]), (inner, batch.a_strides[1]), (m, a.row_stride), (k, a.column_stride)],
        );
        check_bounds(
            "B",
            b.data.len(),
            &[(outer, batch.b_strides[0]), (inner, batch.b_strides[1]), (k, b.row_stride), (n, b.column_stride)],
        );
    }
    let mut c_axes = [(outer, batch.c_strides[0]), (inner, batch.c_strides[1]), (m, c_row_stride), (n, 1)];
    check_bounds("C", c.len(), &c_axes);
    check_disjoint(&mut c_axes);
    let bias = match update {
        Update::Bias(bias) => {
            assert!(bias.len() >= n, "the bias has {} values for {n} columns", bias.len());
            bias.as_ptr()
        }
        _ => std::ptr::null(),
    };
    let product = Product {
        tile,
        m,
        n,
        k,
        alpha,
        a_strides: [a.row_stride, a.column_stride],
        b_strides: [b.row_stride, b.column_stride],
        accumulate: matches!(update, Update::Accumulate),
        bias: Shared(bias),
        c_stride: c_row_stride,
    };
    let (a, b, c) = (Shared(a.data.as_ptr()), Shared(b.data.as_ptr()), SharedPointer::new(c));
    let run = |index: usize| {
        let [i, j] = [index / inner, index % inner];
        let at = |strides: [usize; 2]| i * strides[0] + j * strides[1];
        // SAFETY: all indices were checked against the slices above, and the matrices of C are disjoint.
        unsafe {
            product.run(
                a.get().add(at(batch.a_strides)),
                b.get().add(at(batch.b_strides)),
                c.get().add(at(batch.c_strides)),
            )
        }
    };
    let count = outer * inner;
    let work = m * n * k.max(1);
    if count == 1 || (count < num_threads() && work > SMALL_WORK) {
        (0..count).for_each(run);
    } else {
        // Several tiny products make a task of about 20 µs; products inside a task run on its thread.
        let group = (SMALL_WORK / work).clamp(1, count);
        parallel_for(count.div_ceil(group), |task| (task * group..((task + 1) * group).min(count)).for_each(run));
    }
}

/// Multiply-adds below which a product is not worth a second thread.
const SMALL_WORK: usize = 1 << 19;
/// Longest run of k summed in registers; A and B panels of this length fit L1 together.
const K_BLOCK: usize = 192;
/// Elements of A packed at a time by a thread: half of a small L2.
const A_BLOCK: usize = 192 * K_BLOCK;
/// Elements of B packed at a time by all threads together: three quarters of a second cache.
const B_BLOCK: usize = 1024 * K_BLOCK;

/// One product on raw pointers. Every operand was checked by whoever makes it.
#[derive(Clone, Copy)]
struct Product<T: 'static> {
    tile: &'static Tile<T>,
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    /// Row and column stride.
    a_strides: [usize; 2],
    b_strides: [usize; 2],
    accumulate: bool,
    bias: Shared<T>,
    c_stride: usize,
}

/// A read-only address that tasks may share.
#[derive(Clone, Copy)]
struct Shared<T>(*const T);

impl<T> Shared<T> {
    fn get(&self) -> *const T {
        self.0
    }
}

// SAFETY: only ever read through, while the slice it was made of is borrowed.
unsafe impl<T: Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Shared<T> {}

impl<T: Real> Product<T> {
    /// # Safety
    /// A, B and C are valid for the sizes and strides; nobody else uses this C.
    unsafe fn run(&self, a: *const T, b: *const T, c: *mut T) {
        // SAFETY: passed on.
        unsafe {
            if self.k == 0 || self.m == 1 || self.n == 1 { self.vector_product(a, b, c) } else { self.blocked(a, b, c) }
        }
    }

    /// Products of a matrix and a vector, which read every element once: nothing to pack.
    unsafe fn vector_product(&self, a: *const T, b: *const T, c: *mut T) {
        let [m, n, k] = [self.m, self.n, self.k];
        if k == 0 {
            for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                // SAFETY: (i, j) lies in C.
                unsafe { self.put(T::ZERO, i, j, c) };
            }
            return;
        }
        let column = n == 1;
        let (lines, matrix, [line_stride, step], vector, vector_stride) = match column {
            true => (m, Shared(a), self.a_strides, b, self.b_strides[0]),
            false => (n, Shared(b), [self.b_strides[1], self.b_strides[0]], a, self.a_strides[1]),
        };
        if step == 1 {
            let c = SharedPointer::from_raw(c);
            with_scratch(k, |dense: &mut [T]| {
                // SAFETY: p < k lies in the vector.
                (0..k).for_each(|p| dense[p] = unsafe { *vector.add(p * vector_stride) });
                let dense = &*dense;
                let chunk = (SMALL_WORK / 4 / k).max(16);
                parallel_for(lines.div_ceil(chunk), |task| {
                    for line in task * chunk..((task + 1) * chunk).min(lines) {
                        // SAFETY: the line has k elements in the matrix, and its sum one place in C.
                        unsafe {
                            let values = std::slice::from_raw_parts(matrix.get().add(line * line_stride), k);
                            let sum = dot(values, dense);
                            let (i, j) = if column { (line, 0) } else { (0, line) };
                            self.put(sum, i, j, c.get());
                        }
                    }
                });
            });
        } else if column {
            // cᵀ = bᵀ·Aᵀ: the lines of A lie across its memory, as columns of B do.
            let turned = Product {
                m: 1,
                n: m,
                alpha: T::ONE,
                a_strides: [0, vector_stride],
                b_strides: [step, line_stride],
                accumulate: false,
                bias: Shared(std::ptr::null()),
                ..*self
            };
            with_scratch(m, |sums: &mut [T]| {
                // SAFETY: `sums` is the [1, m] result; (i, 0) lies in C.
                unsafe {
                    turned.blocked(vector, matrix.get(), sums.as_mut_ptr());
                    (0..m).for_each(|i| self.put(sums[i], i, 0, c));
                }
            });
        } else {
            // SAFETY: passed on.
            unsafe { self.blocked(a, b, c) };
        }
    }

    /// Stores one sum as the tiles do.
    unsafe fn put(&self, sum: T, i: usize, j: usize, c: *mut T) {
        // SAFETY: the caller promises that (i, j) lies in C, and in the bias if there is one.
        unsafe {
            let at = c.add(i * self.c_stride + j);
            let mut value = self.alpha * sum;
            if self.accumulate {
                value += *at;
            }
            if !self.bias.get().is_null() {
                value += *self.bias.get().add(j);
            }
            *at = value;
        }
    }

    /// The general product: for each block of k and of columns, pack B together, then share out the rows of C.
    unsafe fn blocked(&self, a: *const T, b: *const T, c: *mut T) {
        let tile = self.tile;
        let [m, n, k] = [self.m, self.n, self.k];
        let k_step = k.div_ceil(k.div_ceil(K_BLOCK));
        // As much of k at a time as fits: fewer, longer jobs for the threads.
        let n_step = (B_BLOCK / k_step / tile.columns * tile.columns).min(n.next_multiple_of(tile.columns));
        let depth_step = (B_BLOCK / n_step / k_step).max(1).min(k.div_ceil(k_step)) * k_step;
        // Packing B pays when enough rows use it.
        let direct = self.b_strides[1] == 1 && m <= 2 * tile.rows;
        with_scratch(if direct { tile.columns } else { n_step } * depth_step, |packed_b: &mut [T]| {
            for column in (0..n).step_by(n_step) {
                for depth in (0..k).step_by(depth_step) {
                    let block = Block {
                        product: *self,
                        tile,
                        depth,
                        k: depth_step.min(k - depth),
                        k_step,
                        column,
                        n: n_step.min(n - column),
                        direct,
                    };
                    // SAFETY: the block lies within the operands.
                    unsafe {
                        block.pack_b(b, packed_b);
                        block.multiply(a, b, packed_b, c);
                    }
                }
            }
        });
    }
}

/// Columns `column..column + n` of C and the part `depth..depth + k` of their sums.
struct Block<T: 'static> {
    product: Product<T>,
    tile: &'static Tile<T>,
    depth: usize,
    k: usize,
    /// How much of k a tile sums in registers.
    k_step: usize,
    column: usize,
    n: usize,
    /// B is read where it lies; only a last narrow panel is packed.
    direct: bool,
}

impl<T: Real> Block<T> {
    unsafe fn pack_b(&self, b: *const T, packed: &mut [T]) {
        let width = self.tile.columns;
        let [depth_stride, line_stride] = self.product.b_strides;
        let panels = self.n.div_ceil(width);
        let panel_len = width * self.k;
        let first = match self.direct {
            true if self.n.is_multiple_of(width) => return,
            true => panels - 1,
            false => 0,
        };
        let (b, packed) = (Shared(b), SharedPointer::new(packed));
        let group = ((1 << 14) / panel_len).max(1);
        parallel_for((panels - first).div_ceil(group), |task| {
            for panel in first + task * group..(first + (task + 1) * group).min(panels) {
                let at = panel * width;
                // SAFETY: the panel lies in B and in the packed block, and is this task's own.
                unsafe {
                    let from = b.get().add(self.depth * depth_stride + (self.column + at) * line_stride);
                    let to = packed.slice((panel - first) * panel_len..(panel - first + 1) * panel_len);
                    pack_panel(from, line_stride, depth_stride, width.min(self.n - at), self.k, width, to);
                }
            }
        });
    }

    unsafe fn multiply(&self, a: *const T, b: *const T, packed_b: &[T], c: *mut T) {
        let (tile, product) = (self.tile, &self.product);
        let row_tiles = product.m.div_ceil(tile.rows);
        let panels = self.n.div_ceil(tile.columns);
        let row_limit = (A_BLOCK / self.k_step / tile.rows).max(1);
        let threads = if product.m * self.n * self.k <= SMALL_WORK { 1 } else { num_threads() };
        let [row_tasks, column_tasks] = split_tiles(row_tiles, panels, row_limit, threads);
        let (a, b, c) = (Shared(a), Shared(b), SharedPointer::from_raw(c));
        parallel_for(row_tasks * column_tasks, |task| {
            let (row_task, column_task) = (task % row_tasks, task / row_tasks);
            let rows = row_tiles * row_task / row_tasks..row_tiles * (row_task + 1) / row_tasks;
            let columns = panels * column_task / column_tasks..panels * (column_task + 1) / column_tasks;
            // SAFETY: the rows and columns lie in C and are this task's own.
            unsafe { self.part(rows, columns, a.get(), b.get(), packed_b, c.get()) };
        });
    }

    /// Tiles `rows` × panels `columns`.
    unsafe fn part(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        a: *const T,
        b: *const T,
        packed_b: &[T],
        c: *mut T,
    ) {
        let (tile, product) = (self.tile, &self.product);
        let [row_stride, depth_stride] = product.a_strides;
        // Packing A pays when enough columns use it.
        let by_columns = row_stride == 1;
        let in_place = (by_columns || depth_stride == 1) && columns.len() <= 8;
        // Rows that end within a tile are packed even then: nothing lies beyond the last.
        let whole = if in_place { rows.end.min(product.m / tile.rows).max(rows.start) } else { rows.start };
        with_scratch((rows.end - whole) * tile.rows * self.k_step, |packed_a: &mut [T]| {
            for start in (0..self.k).step_by(self.k_step) {
                let (k, depth) = (self.k_step.min(self.k - start), self.depth + start);
                let panel_len = tile.rows * k;
                // SAFETY: rows, columns and depth lie within the operands; edges are cut to the matrix.
                unsafe {
                    let a_block = a.add(depth * depth_stride);
                    for (panel, to) in (whole..rows.end).zip(packed_a.chunks_exact_mut(panel_len)) {
                        let at = panel * tile.rows;
                        let lines = tile.rows.min(product.m - at);
                        pack_panel(a_block.add(at * row_stride), row_stride, depth_stride, lines, k, tile.rows, to);
                    }
                    for panel in columns.clone() {
                        let at = panel * tile.columns;
                        let width = tile.columns.min(self.n - at);
                        let in_panel = start * tile.columns;
                        let (b_panel, b_stride) = match (self.direct, width == tile.columns) {
                            (true, true) => {
                                let stride = product.b_strides[0];
                                (b.add(depth * stride + self.column + at), stride)
                            }
                            (true, false) => (packed_b.as_ptr().add(in_panel), tile.columns),
                            (false, _) => {
                                (packed_b.as_ptr().add(panel * tile.columns * self.k + in_panel), tile.columns)
                            }
                        };
                        let bias = match product.bias.get() {
                            bias if bias.is_null() || depth > 0 => std::ptr::null(),
                            bias => bias.add(self.column + at),
                        };
                        for panel in rows.clone() {
                            let row = panel * tile.rows;
                            let out = Output {
                                c: c.add(row * product.c_stride + self.column + at),
                                stride: product.c_stride,
                                rows: tile.rows.min(product.m - row),
                                columns: width,
                                alpha: product.alpha,
                                accumulate: product.accumulate || depth > 0,
                                bias,
                            };
                            if panel < whole {
                                let (run, stride) = match by_columns {
                                    true => (tile.by_columns, depth_stride),
                                    false => (tile.by_rows, row_stride),
                                };
                                run(k, a_block.add(row * row_stride), stride, b_panel, b_stride, &out);
                            } else {
                                let a_panel = packed_a.as_ptr().add((panel - whole) * panel_len);
                                (tile.packed)(k, a_panel, 0, b_panel, b_stride, &out);
                            }
                        }
                    }
                }
            }
        });
    }
}

/// Packs `lines` ≤ `width` lines (rows of A, columns of B) into a panel: element (line, p) at `p * width + line`. Lines
/// that are missing become zeros.
///
/// # Safety
/// The lines can be read at `line * line_stride + p * depth_stride`; `to` holds `width * depth` elements.
pub unsafe fn pack_panel<T: Real>(
    from: *const T,
    line_stride: usize,
    depth_stride: usize,
    lines: usize,
    depth: usize,
    width: usize,
    to: &mut [T],
) {
    debug_assert_eq!(to.len(), width * depth);
    // SAFETY: passed on; lines of f32 are what `as_f32_mut` says they are.
    unsafe {
        if lines == width
            && depth_stride == 1
            && let Some(to) = T::as_f32_mut(to)
            && pack_lines(from.cast(), line_stride, depth, width, to)
        {
            return;
        }
        match width {
            _ if lines < width => {
                for (p, to) in to.chunks_exact_mut(width).enumerate() {
                    for (line, to) in to.iter_mut().enumerate() {
                        *to = if line < lines { *from.add(line * line_stride + p * depth_stride) } else { T::ZERO };
                    }
                }
            }
            4 => pack_full::<T, 4>(from, line_stride, depth_stride, to),
            6 => pack_full::<T, 6>(from, line_stride, depth_stride, to),
            8 => pack_full::<T, 8>(from, line_stride, depth_stride, to),
            12 => pack_full::<T, 12>(from, line_stride, depth_stride, to),
            16 => pack_full::<T, 16>(from, line_stride, depth_stride, to),
            32 => pack_full::<T, 32>(from, line_stride, depth_stride, to),
            _ => unreachable!("no tile is {width} wide"),
        }
    }
}

unsafe fn pack_full<T: Real, const WIDTH: usize>(
    from: *const T,
    line_stride: usize,
    depth_stride: usize,
    to: &mut [T],
) {
    let (rows, _) = to.as_chunks_mut::<WIDTH>();
    // SAFETY: the caller promises WIDTH readable lines.
    unsafe {
        if line_stride == 1 {
            for (p, to) in rows.iter_mut().enumerate() {
                *to = from.add(p * depth_stride).cast::<[T; WIDTH]>().read();
            }
        } else {
            for (p, to) in rows.iter_mut().enumerate() {
                *to = std::array::from_fn(|line| *from.add(line * line_stride + p * depth_stride));
            }
        }
    }
}

/// The dot product of two slices of one length.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    dispatch(Dot(a, b))
}

/// In 32 interleaved sums.
struct Dot<'a, T>(&'a [T], &'a [T]);

impl<T: Real> Kernel for Dot<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let (a, a_rest) = self.0.as_chunks::<32>();
        let (b, b_rest) = self.1.as_chunks::<32>();
        let mut sums = [T::ZERO; 32];
        for (a, b) in a.iter().zip(b) {
            for i in 0..32 {
                sums[i] += a[i] * b[i];
            }
        }
        for i in 0..a_rest.len().min(b_rest.len()) {
            sums[i] += a_rest[i] * b_rest[i];
        }
        for half in [16, 8, 4, 2, 1] {
            for i in 0..half {
                sums[i] += sums[i + half];
            }
        }
        sums[0]
    }
}

/// Asserts that the last element of the axes (count, stride) lies in a slice of `len`.
pub(super) fn check_bounds(name: &str, len: usize, axes: &[(usize, usize)]) {
    let last: usize = axes.iter().map(|&(count, stride)| (count - 1) * stride).sum();
    assert!(last < len, "{name} has {len} elements, its sizes and strides {axes:?} need {}", last + 1);
}

/// Asserts that no two indices of the axes name one element: each stride clears all smaller axes.
pub(super) fn check_disjoint(axes: &mut [(usize, usize)]) {
    axes.sort_by_key(|&(_, stride)| stride);
    let mut reach = 0;
    for &(count, stride) in axes.iter().filter(|&&(count, _)| count > 1) {
        assert!(stride > reach, "rows or matrices of C overlap: sizes and strides {axes:?}");
        reach += (count - 1) * stride;
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{Random, assert_close, with_threads};
    use super::super::dispatch::available_isas;
    use super::super::tile::wide_tile;
    use super::*;

    fn tiles<T: Real>() -> Vec<&'static Tile<T>> {
        available_isas().iter().map(|&isa| T::tile(isa)).collect()
    }

    fn single() -> Batch {
        Batch { counts: [1, 1], a_strides: [0, 0], b_strides: [0, 0], c_strides: [0, 0] }
    }

    /// A random product with random strides against a plain loop; the same bits with one, two and five threads.
    fn check<T: Real>(tile: &'static Tile<T>, sizes: [usize; 3], random: &mut Random, tolerance: f64) {
        let [m, n, k] = sizes;
        let matrix = |rows: usize, columns: usize, random: &mut Random| {
            let extra = random.below(3);
            let (row_stride, column_stride) = match random.below(4) {
                0 => (1, rows + extra),
                1 => (columns * 2 + extra, 2),
                _ => (columns + extra, 1),
            };
            let len = row_stride * rows.saturating_sub(1) + column_stride * columns.saturating_sub(1) + 1;
            (random.numbers::<T>(len), row_stride, column_stride)
        };
        let (a_data, a_row, a_column) = matrix(m, k, random);
        let (b_data, b_row, b_column) = matrix(k, n, random);
        let a = Matrix { data: &a_data, row_stride: a_row, column_stride: a_column };
        let b = Matrix { data: &b_data, row_stride: b_row, column_stride: b_column };
        let bias: Vec<T> = random.numbers(n);
        let alpha = random.numbers::<T>(1)[0];
        let c_stride = n + random.below(3);
        let c_len = if m == 0 { 0 } else { (m - 1) * c_stride + n };
        let before: Vec<T> = random.numbers(c_len);
        for update in [Update::Overwrite, Update::Accumulate, Update::Bias(&bias)] {
            let fresh = match update {
                Update::Accumulate => before.clone(),
                _ => vec![T::from_f64(f64::NAN); c_len],
            };
            let run = |threads| {
                let mut c = fresh.clone();
                with_threads(threads, || {
                    batched(tile, single(), sizes, alpha, a, b, update, &mut c, c_stride);
                });
                c
            };
            let c = run(1);
            let (mut got, mut want) = (Vec::new(), Vec::new());
            for i in 0..m {
                for j in 0..n {
                    let sum: f64 = (0..k)
                        .map(|p| a_data[i * a_row + p * a_column].to_f64() * b_data[p * b_row + j * b_column].to_f64())
                        .sum();
                    got.push(c[i * c_stride + j]);
                    want.push(
                        alpha.to_f64() * sum
                            + match update {
                                Update::Overwrite => 0.0,
                                Update::Accumulate => before[i * c_stride + j].to_f64(),
                                Update::Bias(bias) => bias[j].to_f64(),
                            },
                    );
                }
            }
            assert_close(&got, &want, tolerance, &(sizes, [a_row, a_column, b_row, b_column]));
            for threads in [2, 5] {
                let again = run(threads);
                let same = again.iter().zip(&c).all(|(x, y)| x.to_f64().to_bits() == y.to_f64().to_bits());
                assert!(same, "{sizes:?} with {threads} threads has other bits");
            }
        }
    }

    #[test]
    fn products_match_plain_loops_for_every_isa_stride_and_thread_count() {
        let mut random = Random(7);
        let mut shapes = vec![[0, 3, 4], [3, 0, 4], [3, 4, 0], [1, 1, 1], [1, 70, 33], [70, 1, 300], [2, 100, 600]];
        shapes.extend([[130, 150, 70], [300, 40, 520], [5, 700, 260], [64, 65, 1], [257, 96, 129]]);
        for _ in 0..30 {
            shapes.push([1 + random.below(60), 1 + random.below(60), 1 + random.below(60)]);
        }
        for tile in tiles::<f32>().into_iter().chain([wide_tile()]) {
            shapes.iter().for_each(|&sizes| check(tile, sizes, &mut random, 1e-5));
        }
        for tile in tiles::<f64>() {
            shapes.iter().for_each(|&sizes| check(tile, sizes, &mut random, 1e-13));
        }
    }

    #[test]
    fn batches_with_interleaved_and_repeated_matrices() {
        let mut random = Random(11);
        // [batch 3, tokens 17, heads 4, width 6]: scores of each head, as attention has them; B of one batch repeats.
        for [m, n, k] in [[17, 17, 6], [1, 17, 6], [17, 1, 6], [17, 6, 17], [17, 17, 1]] {
            let (batch, heads) = (3, 4);
            let a_data: Vec<f32> = random.numbers(batch * m * heads * k);
            let b_data: Vec<f32> = random.numbers(n * heads * k);
            let sizes = Batch {
                counts: [batch, heads],
                a_strides: [m * heads * k, k],
                b_strides: [0, k],
                c_strides: [m * heads * n, n],
            };
            let a = Matrix { data: &a_data, row_stride: heads * k, column_stride: 1 };
            let b = Matrix { data: &b_data, row_stride: 1, column_stride: heads * k };
            let mut c = vec![f32::NAN; batch * m * heads * n];
            gemm_batched(sizes, [m, n, k], 2.0, a, b, Update::Overwrite, &mut c, heads * n);
            let mut want = vec![0.0; c.len()];
            for (x, h, i, j, p) in indices([batch, heads, m, n, k]) {
                want[((x * m + i) * heads + h) * n + j] += 2.0
                    * f64::from(a_data[((x * m + i) * heads + h) * k + p])
                    * f64::from(b_data[(j * heads + h) * k + p]);
            }
            assert_close(&c, &want, 1e-6, &[m, n, k]);
        }
    }

    fn indices(counts: [usize; 5]) -> impl Iterator<Item = (usize, usize, usize, usize, usize)> {
        let [a, b, c, d, e] = counts;
        (0..a * b * c * d * e)
            .map(move |i| (i / (b * c * d * e), i / (c * d * e) % b, i / (d * e) % c, i / e % d, i % e))
    }

    #[test]
    fn nan_and_infinity_reach_their_rows_and_columns_only() {
        let (m, n, k) = (20, 40, 30);
        let mut a = vec![1.0f32; m * k];
        let mut b = vec![1.0f32; k * n];
        a[3 * k + 5] = f32::NAN;
        b[7 * n + 9] = f32::INFINITY;
        let mut c = vec![0.0; m * n];
        gemm([m, n, k], 1.0, Matrix::row_major(&a, k), Matrix::row_major(&b, n), Update::Overwrite, &mut c, n);
        for i in 0..m {
            for j in 0..n {
                let value = c[i * n + j];
                match (i, j) {
                    (3, _) => assert!(value.is_nan()),
                    (_, 9) => assert_eq!(value, f32::INFINITY),
                    _ => assert_eq!(value, 30.0),
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "A has 11 elements")]
    fn a_short_slice_is_refused() {
        let (a, b, mut c) = ([0.0f32; 11], [0.0; 12], [0.0; 9]);
        gemm([3, 3, 4], 1.0, Matrix::row_major(&a, 4), Matrix::row_major(&b, 3), Update::Overwrite, &mut c, 3);
    }

    #[test]
    #[should_panic(expected = "overlap")]
    fn overlapping_rows_of_c_are_refused() {
        let (a, b, mut c) = ([0.0f32; 12], [0.0; 12], [0.0; 9]);
        gemm([3, 3, 4], 1.0, Matrix::row_major(&a, 4), Matrix::row_major(&b, 3), Update::Overwrite, &mut c, 2);
    }
}
