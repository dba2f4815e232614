//! 3×3 convolution of stride 1 by Winograd's F(4×4, 3×3): 36 multiplications for 16 outputs instead of 144.
//! Forward and both gradients, float32, channels last. It is longer than most files because the five transforms, their
//! blocking and their tests belong together.
//!
//! Source: Lavin & Gray 2016, "Fast Algorithms for Convolutional Neural Networks" (arXiv:1509.09308); the points of
//! interpolation are 0, ±√½, ±√2, ∞ instead of their 0, ±1, ±2, ∞, which makes the error a third in the output and
//! a quarter in the gradient of the weight. A one-dimensional step is `y = Aᵀ[(G·g) ⊙ (Bᵀ·d)]`.
//! Largest error against float64 as part of the largest value, for sums of four uniform numbers: 64→64@32² 1.8e-6
//! (dx 1.6e-6, dw 2.1e-6), 128→128@16² 2.3e-6 (2.0e-6, 2.0e-6), 256→256@8² 2.9e-6 (3.0e-6, 1.4e-6),
//! 512→512@4² 2.1e-6 (2.8e-6, 1.4e-6).
//!
//! A tile is 4×4 outputs and the 6×6 inputs they see. For each of the 36 places of a transformed tile there is a matrix
//! product over channels; blocks of tiles are small enough for the caches.

use super::dispatch::Isa;
use super::gemm::pack_panel;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::tile::{Output, Tile};
use super::vector::{Pixel, Vector, VectorKernel, with_vectors};
use std::ops::Range;

/// Outputs of a tile along an axis, inputs it sees, places of a transformed tile.
const OUT: usize = 4;
const IN: usize = 6;
const PLACES: usize = IN * IN;

/// Numbers of a filter.
const TAPS: usize = 9;

/// Channels of which filters are transformed at a time; the numbers of channels are multiples of it.
const SLICE: usize = 16;

/// Source channels of a block of filters whose gradient is summed in the second cache: whole slices, and whole tiles of every
/// instruction set.
const FILTER_ROWS: usize = 48;

/// Longest run of channels summed in registers.
const K_BLOCK: usize = 288;

/// Most channels of either image for which the error was measured.
const MOST_CHANNELS: usize = 4096;

/// A 3×3 convolution of stride 1 between two images, in either direction.
#[derive(Clone, Copy, Debug)]
pub struct Winograd {
    pub batch: usize,
    /// Height, width and channels of the image that is read; channels are a multiple of 16.
    pub source: [usize; 2],
    pub channels: usize,
    /// Zeros around it.
    pub padding: [usize; 2],
    /// Height, width and channels of the image that is written; channels are a multiple of 16.
    pub target: [usize; 2],
    pub columns: usize,
}

/// How the nine numbers of a filter lie: for target channel o and source channel c at `o * column + c * channel`,
/// in order or backwards.
#[derive(Clone, Copy)]
pub struct Filters {
    pub column: usize,
    pub channel: usize,
    pub backwards: bool,
}

impl Filters {
    /// The taps of [`SLICE`] source channels from `channel` on, as a panel of target channels: tap t of source channel c and
    /// target channel o at `((c - channel) * TAPS + t) * width + o - columns.start`, zeros where there is no target channel.
    fn pack(&self, weight: &[f32], columns: Range<usize>, channel: usize, width: usize, to: &mut [f32]) {
        // Filters of neighbouring source channels that lie one behind the other are one line.
        let together = if self.channel == TAPS { SLICE } else { 1 };
        for (group, to) in to.chunks_exact_mut(together * TAPS * width).enumerate() {
            let at = columns.start * self.column + (channel + group * together) * self.channel;
            let last = at + (columns.len() - 1) * self.column + together * TAPS;
            let from = weight[at..last].as_ptr();
            // SAFETY: the lines end where the slice does, and the panel has that size.
            unsafe { pack_panel(from, self.column, 1, columns.len(), together * TAPS, width, to) };
        }
    }
}

impl Winograd {
    /// Whether this beats a direct product: enough channels to pay for the transforms, enough tiles to pay for the
    /// filters', and not too much of the tiles outside the image.
    /// The error is far below 1e-3 of the output's scale up to `MOST_CHANNELS` (a test measures it); beyond, it is direct.
    pub fn pays(&self) -> bool {
        let pixels = self.batch * self.target[0] * self.target[1];
        let whole = self.channels.is_multiple_of(16) && self.columns.is_multiple_of(16);
        whole
            && self.channels.min(self.columns) >= 32
            && self.channels.max(self.columns) <= MOST_CHANNELS
            && self.tiles() >= 8
            && self.tiles() * PLACES * 3 <= pixels * 9 * 2
    }

    /// target = source ∗ filters + bias.
    pub fn run<P: Pixel>(
        &self,
        isa: Isa,
        tile: &'static Tile<f32>,
        source: &[P],
        weight: &[f32],
        filters: Filters,
        bias: Option<&[f32]>,
        target: &mut [P],
    ) {
        assert!(isa.is_available());
        if self.has_few_tiles() {
            return self.multiply_few(isa, tile, source, weight, filters, bias, target);
        }
        let panels = self.columns.div_ceil(tile.columns);
        let panel_len = self.channels * tile.columns;
        let place_stride = odd_lines(panels * panel_len);
        with_scratch(PLACES * place_stride, |transformed: &mut [f32]| {
            let shared = SharedPointer::new(transformed);
            // Sixteen channels of a panel at a time, so that few panels keep many threads busy.
            let slices = self.channels / SLICE;
            parallel_for(panels * slices, |task| {
                let (panel, slice) = (task / slices, task % slices);
                let columns = panel * tile.columns..((panel + 1) * tile.columns).min(self.columns);
                let to = shared.get().wrapping_add(panel * panel_len + slice * SLICE * tile.columns);
                let taps = (weight, filters, columns, slice * SLICE);
                // SAFETY: the scratch has room, and the slice is this task's own.
                unsafe { transform_filters(isa, taps, tile.columns, place_stride, to) };
            });
            self.multiply(isa, tile, source, transformed, bias, target);
        });
    }

    /// Whether the transformed filters are larger than the caches, the transformed tiles are not, and there are panels for many
    /// threads.
    fn has_few_tiles(&self) -> bool {
        let filters = PLACES * size_of::<f32>() * self.channels * self.columns;
        self.tiles() <= 64 && filters > 8 << 20 && self.columns >= 256
    }

    /// All tiles at once with some filters at a time, which are never in memory as they are transformed.
    fn multiply_few<P: Pixel>(
        &self,
        isa: Isa,
        tile: &'static Tile<f32>,
        source: &[P],
        weight: &[f32],
        filters: Filters,
        bias: Option<&[f32]>,
        target: &mut [P],
    ) {
        let (tiles, channels, width) = (self.tiles(), self.channels, tile.columns);
        let input_stride = odd_lines(tiles * channels);
        // Channels whose filters, a panel wide, take about half of a second cache.
        let step = ((576 << 10) / (PLACES * 4 * width) / SLICE * SLICE).clamp(SLICE, K_BLOCK);
        let (filter_stride, output_stride) = (odd_lines(step * width), odd_lines(tiles * width));
        let shared = SharedPointer::new(target);
        // The last tile of a product reads whole, beyond the rows.
        with_scratch(PLACES * input_stride + tile.rows * channels, |input: &mut [f32]| {
            let to = SharedPointer::new(input);
            let group = 4;
            parallel_for(tiles.div_ceil(group), |task| {
                let range = task * group..tiles.min((task + 1) * group);
                let to = to.get().wrapping_add(range.start * channels);
                // SAFETY: these tiles are this task's own.
                unsafe { self.transform_input(isa, source, range, input_stride, to) };
            });
            let input = &*input;
            parallel_for(self.columns.div_ceil(width), |panel| {
                let columns = panel * width..((panel + 1) * width).min(self.columns);
                with_scratch(PLACES * (filter_stride + output_stride), |scratch: &mut [f32]| {
                    let (transformed, output) = scratch.split_at_mut(PLACES * filter_stride);
                    for first in (0..channels).step_by(step) {
                        let depth = step.min(channels - first);
                        for slice in (0..depth).step_by(SLICE) {
                            let to = transformed[slice * width..].as_mut_ptr();
                            let taps = (weight, filters, columns.clone(), first + slice);
                            // SAFETY: the scratch has room for the slice.
                            unsafe { transform_filters(isa, taps, width, filter_stride, to) };
                        }
                        for place in 0..PLACES {
                            let b = transformed[place * filter_stride..].as_ptr();
                            for row in (0..tiles).step_by(tile.rows) {
                                let a = input[place * input_stride + row * channels + first..].as_ptr();
                                let out = Output {
                                    c: output[place * output_stride + row * columns.len()..].as_mut_ptr(),
                                    stride: columns.len(),
                                    rows: tile.rows.min(tiles - row),
                                    columns: columns.len(),
                                    alpha: 1.0,
                                    accumulate: first > 0,
                                    bias: std::ptr::null(),
                                };
                                // SAFETY: rows of the input, and some beyond the last, and the panel hold `depth` steps; the
                                // tile lies in the output.
                                unsafe { (tile.by_rows)(depth, a, channels, b, width, &out) };
                            }
                        }
                    }
                    let kernel = OutputTransform {
                        winograd: self,
                        image: shared.get(),
                        columns: columns.clone(),
                        bias,
                        tiles: 0..tiles,
                        place_stride: output_stride,
                        from: output,
                    };
                    // SAFETY: the instruction set is available; the pixels of these columns are this task's own.
                    unsafe { with_vectors(isa, kernel) };
                });
            });
        });
    }

    /// Block by block: transform the input, 36 products, transform back.
    fn multiply<P: Pixel>(
        &self,
        isa: Isa,
        tile: &'static Tile<f32>,
        source: &[P],
        filters: &[f32],
        bias: Option<&[f32]>,
        target: &mut [P],
    ) {
        let panels = self.columns.div_ceil(tile.columns);
        let panel_len = self.channels * tile.columns;
        let threads = num_threads();
        let groups = self.tiles().div_ceil(tile.rows);
        let limit = (self.block_tiles(isa) / tile.rows).max(1);
        let blocks = match groups.div_ceil(limit) {
            few if few < threads => few,
            many => many.next_multiple_of(threads).min(groups),
        };
        // Columns are split only where tiles do not keep all threads busy: each split transforms the input again.
        let splits = if blocks < threads { (2 * threads).div_ceil(blocks).min(panels) } else { 1 };
        let shared = SharedPointer::new(target);
        parallel_for(blocks * splits, |task| {
            let (block, split) = (task % blocks, task / blocks);
            let tiles =
                groups * block / blocks * tile.rows..(groups * (block + 1) / blocks * tile.rows).min(self.tiles());
            let panels_here = panels * split / splits..panels * (split + 1) / splits;
            let columns = panels_here.start * tile.columns..(panels_here.end * tile.columns).min(self.columns);
            let input_stride = odd_lines(tiles.len() * self.channels);
            let output_stride = odd_lines(tiles.len() * columns.len());
            // The last tile of a product reads whole, beyond the rows.
            let slack = tile.rows * self.channels;
            with_scratch(PLACES * input_stride + slack, |input: &mut [f32]| {
                // SAFETY: the scratch has room for the tiles.
                unsafe { self.transform_input(isa, source, tiles.clone(), input_stride, input.as_mut_ptr()) };
                with_scratch(PLACES * output_stride, |output: &mut [f32]| {
                    for place in 0..PLACES {
                        let input = &input[place * input_stride..];
                        let output = &mut output[place * output_stride..][..tiles.len() * columns.len()];
                        let filters = &filters[place * odd_lines(panels * panel_len) + panels_here.start * panel_len..]
                            [..panels_here.len() * panel_len];
                        product(tile, tiles.len(), input, self.channels, filters, output, columns.len());
                    }
                    let kernel = OutputTransform {
                        winograd: self,
                        image: shared.get(),
                        columns: columns.clone(),
                        bias,
                        tiles: tiles.clone(),
                        place_stride: output_stride,
                        from: output,
                    };
                    // SAFETY: the instruction set is available; the pixels of these tiles and columns are this task's own.
                    unsafe { with_vectors(isa, kernel) };
                });
            });
        });
    }

    /// dw [target channel, source channel, 3, 3] = Σ over pixels of dy · source at each tap.
    pub fn weight_gradient<P: Pixel>(
        &self,
        isa: Isa,
        tile: &'static Tile<f32>,
        source: &[P],
        dy: &[P],
        dw: &mut [f32],
    ) {
        assert!(isa.is_available());
        let (channels, columns, tiles) = (self.channels, self.columns, self.tiles());
        let panels = columns.div_ceil(tile.columns);
        // Tiles summed at a time: by the shape alone, so that sums keep their order for any number of threads.
        let step = ((8 << 20) / (PLACES * 4 * (channels + columns))).clamp(128, 256).min(tiles);
        let input_stride = odd_lines(step * channels);
        let panel_len = step * tile.columns;
        let gradient_stride = odd_lines(panels * panel_len);
        let dw = SharedPointer::new(dw);
        // The last rows of a product read up to a tile beyond the channels.
        with_scratch(PLACES * input_stride + tile.rows, |input: &mut [f32]| {
            with_scratch(PLACES * gradient_stride, |gradient: &mut [f32]| {
                let mut transform = |range: Range<usize>| {
                    let to = [SharedPointer::new(input), SharedPointer::new(gradient)];
                    let group = 8;
                    parallel_for(range.len().div_ceil(group), |task| {
                        let at = task * group;
                        let tiles = range.start + at..range.end.min(range.start + at + group);
                        let gradient = GradientTransform {
                            winograd: self,
                            image: dy,
                            tiles: tiles.clone(),
                            place_stride: gradient_stride,
                            panel_len,
                            width: tile.columns,
                            to: to[1].get().wrapping_add(at * tile.columns),
                        };
                        // SAFETY: the instruction set is available; these tiles' lines are this task's own.
                        unsafe { with_vectors(isa, gradient) };
                        let to = to[0].get().wrapping_add(at * channels);
                        // SAFETY: as above.
                        unsafe { self.transform_input(isa, source, tiles, input_stride, to) };
                    });
                    let [input, gradient] = to.map(|to| to.get().cast_const());
                    TileSums {
                        tile,
                        channels,
                        columns,
                        tiles: range,
                        input,
                        input_stride,
                        gradient,
                        gradient_stride,
                        panel_len,
                    }
                };
                if step == tiles {
                    // The sums of a block of filters go from the second cache into filters and are never in memory together.
                    let sums = transform(0..tiles);
                    let (row_blocks, column_blocks) = (channels.div_ceil(FILTER_ROWS), panels.div_ceil(2));
                    parallel_for(row_blocks * column_blocks, |task| {
                        let row = task % row_blocks * FILTER_ROWS;
                        let rows = row..channels.min(row + FILTER_ROWS);
                        let panels = task / row_blocks * 2..panels.min(task / row_blocks * 2 + 2);
                        let filters = panels.start * tile.columns..columns.min(panels.end * tile.columns);
                        let place_stride = odd_lines(rows.len() * filters.len());
                        with_scratch(PLACES * place_stride, |block: &mut [f32]| {
                            for place in 0..PLACES {
                                let to = block[place * place_stride..].as_mut_ptr();
                                // SAFETY: a place has room for the block.
                                unsafe { sums.add(place, rows.clone(), panels.clone(), to, filters.len()) };
                            }
                            let from = block.as_ptr();
                            let kernel = FilterGradient {
                                winograd: self,
                                channels: rows,
                                columns: filters,
                                place_stride,
                                from,
                                to: dw.get(),
                            };
                            // SAFETY: the instruction set is available; these filters are this task's own.
                            unsafe { with_vectors(isa, kernel) };
                        });
                    });
                    return;
                }
                let place_stride = odd_lines(channels * columns);
                with_scratch(PLACES * place_stride, |all: &mut [f32]| {
                    let shared = SharedPointer::new(all);
                    for first in (0..tiles).step_by(step) {
                        let sums = transform(first..tiles.min(first + step));
                        let slices = channels.div_ceil(64);
                        parallel_for(PLACES * slices, |task| {
                            let (place, slice) = (task % PLACES, task / PLACES);
                            let row_tiles = channels.div_ceil(tile.rows);
                            let rows = row_tiles * slice / slices * tile.rows
                                ..(row_tiles * (slice + 1) / slices * tile.rows).min(channels);
                            let to = shared.get().wrapping_add(place * place_stride + rows.start * columns);
                            // SAFETY: the rows of the sums are this task's own.
                            unsafe { sums.add(place, rows, 0..panels, to, columns) };
                        });
                    }
                    let from = SharedPointer::new(all);
                    parallel_for(channels / SLICE, |task| {
                        let channels = task * SLICE..(task + 1) * SLICE;
                        let from = from.get().wrapping_add(channels.start * columns);
                        let kernel = FilterGradient {
                            winograd: self,
                            channels,
                            columns: 0..columns,
                            place_stride,
                            from,
                            to: dw.get(),
                        };
                        // SAFETY: the instruction set is available; the filters of these channels are this task's own.
                        unsafe { with_vectors(isa, kernel) };
                    });
                });
            })
        });
    }

    /// Bᵀ·d·B of some tiles, as [`InputTransform`] leaves it.
    ///
    /// # Safety
    /// `to` has room for the tiles at every place, and they are nobody else's.
    unsafe fn transform_input<P: Pixel>(
        &self,
        isa: Isa,
        image: &[P],
        tiles: Range<usize>,
        place_stride: usize,
        to: *mut f32,
    ) {
        assert!(isa.is_available());
        with_scratch(self.channels, |zeros: &mut [f32]| {
            zeros.fill(0.0);
            let kernel = InputTransform { winograd: self, image, tiles, zeros, place_stride, to };
            // SAFETY: the instruction set is available; the rest is the caller's promise.
            unsafe { with_vectors(isa, kernel) };
        });
    }

    /// Tiles along each axis.
    fn grid(&self) -> [usize; 2] {
        self.target.map(|size| size.div_ceil(OUT))
    }

    fn tiles(&self) -> usize {
        self.batch * self.grid()[0] * self.grid()[1]
    }

    /// Image and the first output row and column of a tile.
    fn tile_position(&self, tile: usize) -> (usize, [usize; 2]) {
        let [rows, columns] = self.grid();
        (tile / columns / rows, [tile / columns % rows * OUT, tile % columns * OUT])
    }

    /// Tiles in a block: as many as a second-level cache holds with their products, if that is enough for the filters to
    /// be read rarely; else so many that reading the filters costs little beside reading the tiles again.
    fn block_tiles(&self, isa: Isa) -> usize {
        let bytes = PLACES * size_of::<f32>() * (self.channels + self.columns);
        // Processors with AVX-512 have a second level of at least 1 MiB, others often half of that.
        let cache = if isa == Isa::Avx512 { 896 << 10 } else { 448 << 10 };
        match cache / bytes {
            few if few < 24 => ((8 << 20) / bytes).clamp(24, 96),
            many => many.min(96),
        }
    }
}

/// G·g·Gᵀ of [`SLICE`] source channels, as [`FilterTransform`] leaves it: of (weight, filters, target channels, first source
/// channel).
///
/// # Safety
/// `to` has room for the slice at every place, and it is nobody else's.
unsafe fn transform_filters(
    isa: Isa,
    (weight, filters, columns, channel): (&[f32], Filters, Range<usize>, usize),
    width: usize,
    place_stride: usize,
    to: *mut f32,
) {
    assert!(isa.is_available());
    with_scratch(SLICE * TAPS * width, |taps: &mut [f32]| {
        filters.pack(weight, columns, channel, width, taps);
        let kernel = FilterTransform { taps, backwards: filters.backwards, width, place_stride, to };
        // SAFETY: the instruction set is available; the rest is the caller's promise.
        unsafe { with_vectors(isa, kernel) };
    });
}

/// `out` [rows, width] = `a` [rows, depth] · panels of filters. `a` goes on to a whole number of tiles.
fn product(tile: &Tile<f32>, rows: usize, a: &[f32], depth: usize, filters: &[f32], out: &mut [f32], width: usize) {
    assert!(a.len() >= rows.next_multiple_of(tile.rows) * depth);
    let parts = depth.div_ceil(K_BLOCK);
    for part in 0..parts {
        let range = depth * part / parts..depth * (part + 1) / parts;
        // A tile of A stays in the first cache while the panels pass by.
        for row in (0..rows).step_by(tile.rows) {
            for column in (0..width).step_by(tile.columns) {
                let b = filters[column * depth + range.start * tile.columns..].as_ptr();
                let out = Output {
                    c: out[row * width + column..].as_mut_ptr(),
                    stride: width,
                    rows: tile.rows.min(rows - row),
                    columns: tile.columns.min(width - column),
                    alpha: 1.0,
                    accumulate: part > 0,
                    bias: std::ptr::null(),
                };
                // SAFETY: rows of A and lines of the panel hold `range.len()` steps; the tile lies in `out`.
                unsafe {
                    (tile.by_rows)(range.len(), a[row * depth + range.start..].as_ptr(), depth, b, tile.columns, &out)
                };
            }
        }
    }
}

/// Products of transformed tiles of the source and of dy, summed over a range of tiles.
struct TileSums {
    tile: &'static Tile<f32>,
    channels: usize,
    columns: usize,
    tiles: Range<usize>,
    /// Element (place, tile, c) at `place * input_stride + tile * channels + c`.
    input: *const f32,
    input_stride: usize,
    /// As [`GradientTransform`] leaves them.
    gradient: *const f32,
    gradient_stride: usize,
    panel_len: usize,
}

// SAFETY: the tiles are only read while tasks share them.
unsafe impl Sync for TileSums {}

impl TileSums {
    /// At one place, source channels `rows` by panels of target channels: element (c, o) at
    /// `to + (c - rows.start) * stride + o - first target channel`. The first range of tiles overwrites, the others add.
    ///
    /// # Safety
    /// Input and gradient hold their tiles, A with `tile.rows` numbers more; `to` has room and is nobody else's.
    unsafe fn add(&self, place: usize, rows: Range<usize>, panels: Range<usize>, to: *mut f32, stride: usize) {
        let tile = self.tile;
        for panel in panels.clone() {
            for row in rows.clone().step_by(tile.rows) {
                let at = (row - rows.start) * stride + (panel - panels.start) * tile.columns;
                // SAFETY: the caller's promise.
                unsafe {
                    let a = self.input.add(place * self.input_stride + row);
                    let b = self.gradient.add(place * self.gradient_stride + panel * self.panel_len);
                    let out = Output {
                        c: to.add(at),
                        stride,
                        rows: tile.rows.min(rows.end - row),
                        columns: tile.columns.min(self.columns - panel * tile.columns),
                        alpha: 1.0,
                        accumulate: self.tiles.start > 0,
                        bias: std::ptr::null(),
                    };
                    (tile.by_columns)(self.tiles.len(), a, self.channels, b, tile.columns, &out);
                }
            }
        }
    }
}

/// A distance of whole cache lines whose count is odd: the 36 places never compete for one set of a cache.
fn odd_lines(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}

/// √½ and √2: the points of interpolation beside 0 and ∞.
const P: f32 = std::f32::consts::FRAC_1_SQRT_2;
const Q: f32 = std::f32::consts::SQRT_2;

/// a · factor + b.
#[inline(always)]
unsafe fn fma<V: Vector<Scalar = f32>>(a: V, factor: f32, b: V) -> V {
    // SAFETY: the caller promises the instruction set.
    unsafe { a.mul_add(V::splat(factor), b) }
}

/// Bᵀ·d, six inputs of a line to six places.
#[inline(always)]
unsafe fn input_line<V: Vector<Scalar = f32>>(d: [V; 6]) -> [V; 6] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let even = fma(d[2], -2.0, d[4]);
        let odd = fma(d[1], -2.0, d[3]);
        let even2 = fma(d[2], -0.5, d[4]);
        let odd2 = fma(d[1], -0.5, d[3]);
        [
            fma(d[2], -2.5, d[0].add(d[4])),
            fma(odd, P, even),
            fma(odd, -P, even),
            fma(odd2, Q, even2),
            fma(odd2, -Q, even2),
            fma(d[3], -2.5, d[1].add(d[5])),
        ]
    }
}

/// Aᵀ·m, six places of a line to four outputs.
#[inline(always)]
unsafe fn output_line<V: Vector<Scalar = f32>>(m: [V; 6]) -> [V; 4] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let (sum, difference) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (sum2, difference2) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(sum).add(sum2),
            fma(difference2, Q, difference.mul(V::splat(P))),
            fma(sum2, 2.0, sum.mul(V::splat(0.5))),
            fma(difference2, 2.0 * Q, fma(difference, 0.5 * P, m[5])),
        ]
    }
}

/// A·y, four gradients of a line to six places.
#[inline(always)]
unsafe fn gradient_line<V: Vector<Scalar = f32>>(y: [V; 4]) -> [V; 6] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let even = fma(y[2], 0.5, y[0]);
        let odd = fma(y[3], 0.5, y[1]);
        let even2 = fma(y[2], 2.0, y[0]);
        let odd2 = fma(y[3], 2.0, y[1]);
        [y[0], fma(odd, P, even), fma(odd, -P, even), fma(odd2, Q, even2), fma(odd2, -Q, even2), y[3]]
    }
}

/// G·g, three taps of a line to six places.
#[inline(always)]
unsafe fn filter_line<V: Vector<Scalar = f32>>(g: [V; 3]) -> [V; 6] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let even = fma(g[2], 0.5, g[0]).mul(V::splat(-2.0 / 3.0));
        let even2 = fma(g[2], 2.0, g[0]).mul(V::splat(1.0 / 6.0));
        const ODD: f32 = -2.0 / 3.0 * P;
        const ODD2: f32 = 1.0 / 6.0 * Q;
        [g[0], fma(g[1], ODD, even), fma(g[1], -ODD, even), fma(g[1], ODD2, even2), fma(g[1], -ODD2, even2), g[2]]
    }
}

/// Gᵀ·u, six places of a line to three taps.
#[inline(always)]
unsafe fn filter_gradient_line<V: Vector<Scalar = f32>>(u: [V; 6]) -> [V; 3] {
    // SAFETY: the caller promises the instruction set.
    unsafe {
        let (sum, difference) = (u[1].add(u[2]), u[1].sub(u[2]));
        let (sum2, difference2) = (u[3].add(u[4]), u[3].sub(u[4]));
        [
            fma(sum2, 1.0 / 6.0, fma(sum, -2.0 / 3.0, u[0])),
            fma(difference2, Q / 6.0, difference.mul(V::splat(-2.0 / 3.0 * P))),
            fma(sum2, 2.0 / 6.0, fma(sum, -1.0 / 3.0, u[5])),
        ]
    }
}

/// A two-dimensional transform: `$line` on each of `$from` columns, then on each of the rows that makes. It is a macro and
/// no function of closures: a closure is compiled without the features of its caller, and its intrinsics become calls.
macro_rules! both_axes {
    ($from:literal, |$i:ident, $j:ident| $read:expr, $line:ident, |$k:ident, $l:ident, $value:ident| $write:expr) => {{
        let mut columns = [$line([V::splat(0.0); $from]); $from];
        for $j in 0..$from {
            let mut column = [V::splat(0.0); $from];
            for $i in 0..$from {
                column[$i] = $read;
            }
            columns[$j] = $line(column);
        }
        for $k in 0..columns[0].len() {
            let mut row = [V::splat(0.0); $from];
            for j in 0..$from {
                row[j] = columns[j][$k];
            }
            let row = $line(row);
            for $l in 0..row.len() {
                let $value = row[$l];
                $write
            }
        }
    }};
}

/// G·g·Gᵀ for a panel of target channels and [`SLICE`] source channels; element (place, c, o) at
/// `place * place_stride + c * width + o`.
struct FilterTransform<'a> {
    /// As [`Filters::pack`] leaves them.
    taps: &'a [f32],
    backwards: bool,
    width: usize,
    place_stride: usize,
    to: *mut f32,
}

impl VectorKernel<f32> for FilterTransform<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) {
        for (c, taps) in self.taps.chunks_exact(TAPS * self.width).enumerate() {
            for o in (0..self.width).step_by(V::LANES) {
                // SAFETY: panels are whole vectors wide; the place lies in the scratch.
                unsafe {
                    both_axes!(
                        3,
                        |i, j| {
                            let tap = if self.backwards { 8 - (i * 3 + j) } else { i * 3 + j };
                            V::load(taps.as_ptr().add(tap * self.width + o))
                        },
                        filter_line,
                        |i, j, value| {
                            value.store(self.to.add((i * IN + j) * self.place_stride + c * self.width + o))
                        }
                    );
                }
            }
        }
    }
}

/// Bᵀ·d·B for a range of tiles; element (place, tile, c) at `place * place_stride + (tile - first) * channels + c`.
struct InputTransform<'a, P> {
    winograd: &'a Winograd,
    image: &'a [P],
    tiles: Range<usize>,
    /// What pixels outside the image hold: `channels` zeros.
    zeros: &'a [f32],
    place_stride: usize,
    to: *mut f32,
}

impl<P: Pixel> VectorKernel<f32> for InputTransform<'_, P> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) {
        let Winograd { source: [height, width], channels, padding, .. } = *self.winograd;
        let zeros = self.zeros.as_ptr().cast::<P>();
        for (index, tile) in self.tiles.clone().enumerate() {
            let (image, position) = self.winograd.tile_position(tile);
            let image = &self.image[image * height * width * channels..][..height * width * channels];
            let mut from = [zeros; PLACES];
            for (at, from) in from.iter_mut().enumerate() {
                let y = (position[0] + at / IN).wrapping_sub(padding[0]);
                let x = (position[1] + at % IN).wrapping_sub(padding[1]);
                if y < height && x < width {
                    *from = image[(y * width + x) * channels..].as_ptr();
                }
            }
            let to = self.to.wrapping_add(index * channels);
            for c in (0..channels).step_by(V::LANES) {
                // SAFETY: a pixel has `channels` numbers, which are whole vectors, and so have the zeros.
                unsafe {
                    both_axes!(6, |i, j| P::load::<V>(from[i * IN + j].add(c)), input_line, |i, j, value| value
                        .store(to.add((i * IN + j) * self.place_stride + c)));
                }
            }
        }
    }
}

/// Aᵀ·m·A for a range of tiles and columns, into an image; element (place, tile, column) at
/// `place * place_stride + (tile - first) * columns.len() + column - columns.start`.
struct OutputTransform<'a, P> {
    winograd: &'a Winograd,
    image: *mut P,
    columns: Range<usize>,
    bias: Option<&'a [f32]>,
    tiles: Range<usize>,
    place_stride: usize,
    from: &'a [f32],
}

impl<P: Pixel> VectorKernel<f32> for OutputTransform<'_, P> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) {
        let [height, width] = self.winograd.target;
        let channels = self.winograd.columns;
        for (index, tile) in self.tiles.clone().enumerate() {
            let (image, [y, x]) = self.winograd.tile_position(tile);
            let (rows, columns) = (OUT.min(height - y), OUT.min(width - x));
            let pixel = (image * height + y) * width + x;
            let from = self.from[index * self.columns.len()..].as_ptr();
            for column in (0..self.columns.len()).step_by(V::LANES) {
                // SAFETY: the columns are whole vectors; only pixels inside the image are written.
                unsafe {
                    let bias = match self.bias {
                        Some(bias) => V::load(bias.as_ptr().add(self.columns.start + column)),
                        None => V::splat(0.0),
                    };
                    let to = self.image.add(pixel * channels + self.columns.start + column);
                    both_axes!(
                        6,
                        |i, j| V::load(from.add((i * IN + j) * self.place_stride + column)),
                        output_line,
                        |i, j, value| if i < rows && j < columns {
                            P::store(value.add(bias), to.add((i * width + j) * channels));
                        }
                    );
                }
            }
        }
    }
}

/// A·dy·Aᵀ for a range of tiles, as panels; element (place, tile, o) at
/// `place * place_stride + o / width * panel_len + (tile - first) * width + o % width`.
struct GradientTransform<'a, P> {
    winograd: &'a Winograd,
    image: &'a [P],
    tiles: Range<usize>,
    place_stride: usize,
    panel_len: usize,
    width: usize,
    to: *mut f32,
}

impl<P: Pixel> VectorKernel<f32> for GradientTransform<'_, P> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) {
        let Winograd { target: [height, width], columns: channels, .. } = *self.winograd;
        // The columns of the last panel that no channel fills, and pixels beyond the image, are zeros.
        for (index, tile) in self.tiles.clone().enumerate() {
            let (image, [y, x]) = self.winograd.tile_position(tile);
            let (rows, columns) = (OUT.min(height - y), OUT.min(width - x));
            let from = self.image[((image * height + y) * width + x) * channels..].as_ptr();
            for o in (0..channels.next_multiple_of(self.width)).step_by(V::LANES) {
                // SAFETY: only pixels inside the image are read; channels and panels are whole vectors.
                unsafe {
                    let to = self.to.add(o / self.width * self.panel_len + index * self.width + o % self.width);
                    both_axes!(
                        4,
                        |i, j| match i < rows && j < columns && o < channels {
                            true => P::load::<V>(from.add((i * width + j) * channels + o)),
                            false => V::splat(0.0),
                        },
                        gradient_line,
                        |i, j, value| value.store(to.add((i * IN + j) * self.place_stride))
                    );
                }
            }
        }
    }
}

/// Gᵀ·u·G for source channels (whole slices) and target channels (whole vectors): from sums, element (place, c, o) at
/// `place * place_stride + (c - channels.start) * columns.len() + o - columns.start`, to filters.
struct FilterGradient<'a> {
    winograd: &'a Winograd,
    channels: Range<usize>,
    columns: Range<usize>,
    place_stride: usize,
    from: *const f32,
    to: *mut f32,
}

impl VectorKernel<f32> for FilterGradient<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<V: Vector<Scalar = f32>>(self) {
        // A slice's filters of one vector of target channels: first [source, tap, target], turned 16 lines at a time.
        let mut filters = [0.0f32; SLICE * TAPS * 16];
        let mut turned = [0.0f32; 16 * 16];
        for first in (0..self.columns.len()).step_by(V::LANES) {
            for slice in (0..self.channels.len()).step_by(SLICE) {
                for c in 0..SLICE {
                    // SAFETY: target channels are whole vectors of at most 16 lanes.
                    unsafe {
                        let from = self.from.add((slice + c) * self.columns.len() + first);
                        let to = filters.as_mut_ptr().add(c * TAPS * V::LANES);
                        both_axes!(
                            6,
                            |i, j| V::load(from.add((i * IN + j) * self.place_stride)),
                            filter_gradient_line,
                            |i, j, value| value.store(to.add((i * 3 + j) * V::LANES))
                        );
                    }
                }
                for lines in (0..SLICE * TAPS).step_by(16) {
                    let turned = &mut turned[..16 * V::LANES];
                    // SAFETY: sixteen lines of a vector each, and their place in filters that nobody else writes.
                    unsafe {
                        let from = filters.as_ptr().add(lines * V::LANES);
                        pack_panel(from, V::LANES, 1, 16, V::LANES, 16, turned);
                        for (lane, line) in turned.chunks_exact(16).enumerate() {
                            let filter = (self.columns.start + first + lane) * self.winograd.channels;
                            let to = self.to.add((filter + self.channels.start + slice) * TAPS + lines);
                            to.copy_from_nonoverlapping(line.as_ptr(), 16);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{Random, assert_close, with_threads};
    use super::super::conv::Conv2d;
    use super::super::conv::tests::reference;
    use super::super::dispatch::available_isas;
    use super::super::tile::{Tiled, wide_tile};
    use super::super::vector::Lanes;
    use super::*;

    fn shapes() -> Vec<Conv2d> {
        let base = Conv2d {
            batch: 2,
            in_channels: 32,
            out_channels: 48,
            height: 8,
            width: 8,
            kernel: [3, 3],
            stride: [1, 1],
            padding: [1, 1],
            dilation: [1, 1],
            groups: 1,
        };
        vec![
            base,
            Conv2d { batch: 3, in_channels: 16, out_channels: 16, height: 7, width: 10, ..base },
            Conv2d { batch: 1, in_channels: 320, out_channels: 64, height: 4, width: 4, ..base },
            Conv2d { in_channels: 48, out_channels: 80, height: 5, width: 17, padding: [0, 2], ..base },
            Conv2d { batch: 70, height: 4, width: 6, ..base },
            // Few tiles, many filters.
            Conv2d { batch: 1, in_channels: 320, out_channels: 256, height: 4, width: 6, ..base },
            // More tiles than are summed at a time.
            Conv2d { batch: 5, in_channels: 64, out_channels: 16, height: 32, width: 32, ..base },
            Conv2d { batch: 1, height: 3, width: 3, padding: [0, 0], ..base },
        ]
    }

    /// All three directions against plain loops in f64, and the same bits with other numbers of threads.
    fn check(isa: Isa, tile: &'static Tile<f32>, conv: &Conv2d, random: &mut Random) {
        let x: Vec<f32> = random.numbers(conv.input_len());
        let w: Vec<f32> = random.numbers(conv.weight_len());
        let bias: Vec<f32> = random.numbers(conv.out_channels);
        let dy: Vec<f32> = random.numbers(conv.output_len());
        let want = reference(conv, &x, &w, &bias, &dy);
        let (forward, forward_filters) = conv.winograd_forward().expect("a 3×3 of stride 1");
        let (backward, backward_filters) = conv.winograd_input_gradient().expect("a padding of at most 2");
        let run = |threads| {
            with_threads(threads, || {
                let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|len| vec![f32::NAN; len]);
                forward.run(isa, tile, &x, &w, forward_filters, Some(&bias), &mut y);
                backward.run(isa, tile, &dy, &w, backward_filters, None, &mut dx);
                forward.weight_gradient(isa, tile, &x, &dy, &mut dw);
                [y, dx, dw]
            })
        };
        let got = run(1);
        for ((name, got), want) in ["y", "dx", "dw"].iter().zip(&got).zip(&want) {
            assert_close(got, want, 5e-6, &(name, conv));
        }
        for threads in [2, 7] {
            for (first, again) in got.iter().zip(&run(threads)) {
                assert!(
                    first.iter().zip(again).all(|(x, y)| x.to_bits() == y.to_bits()),
                    "{conv:?}, {threads} threads"
                );
            }
        }
    }

    /// Largest error of y, dx and dw against float64, as part of the largest value.
    fn errors(conv: &Conv2d, low: f32, random: &mut Random) -> [f64; 3] {
        let mut numbers = |len: usize| -> Vec<f32> {
            // Sums of four uniform numbers, from `low` on: with 0 as behind a rectifier, where nothing cancels.
            let mut made: Vec<f32> = random.numbers(4 * len);
            (0..len).for_each(|i| made[i] = (low + 1.0) / 2.0 + made[4 * i..4 * i + 4].iter().sum::<f32>() / 8.0);
            made.truncate(len);
            made
        };
        let [x, w, dy] = [conv.input_len(), conv.weight_len(), conv.output_len()].map(&mut numbers);
        let bias = vec![0.0; conv.out_channels];
        let want = reference(conv, &x, &w, &bias, &dy);
        let (forward, forward_filters) = conv.winograd_forward().expect("a 3×3 of stride 1");
        let (backward, backward_filters) = conv.winograd_input_gradient().expect("a padding of at most 2");
        let (isa, tile) = (crate::cpu::dispatch::isa(), f32::tile(crate::cpu::dispatch::isa()));
        let [mut y, mut dx, mut dw] = [dy.len(), x.len(), w.len()].map(|len| vec![f32::NAN; len]);
        forward.run(isa, tile, &x, &w, forward_filters, None, &mut y);
        backward.run(isa, tile, &dy, &w, backward_filters, None, &mut dx);
        forward.weight_gradient(isa, tile, &x, &dy, &mut dw);
        let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        std::array::from_fn(|i| {
            let got = [&y, &dx, &dw][i];
            let scale = largest(&mut want[i].iter().map(|x| x.abs()));
            largest(&mut got.iter().zip(&want[i]).map(|(&got, want)| (f64::from(got) - want).abs())) / scale
        })
    }

    /// Wherever it is chosen its error stays below 1e-3 of the output's scale, by far; where nobody measured it is not chosen.
    #[test]
    #[expect(clippy::print_stdout, reason = "the table of benchmarks/README.md")]
    fn shapes_whose_error_could_exceed_a_thousandth_go_the_direct_way() {
        let mut random = Random(21);
        let base = shapes()[0];
        let square = |channels, out_channels, side, batch| Conv2d {
            in_channels: channels,
            out_channels,
            height: side,
            width: side,
            batch,
            ..base
        };
        for conv in [
            square(64, 64, 32, 1),
            square(128, 128, 16, 1),
            square(256, 256, 8, 2),
            square(512, 512, 4, 8),
            square(MOST_CHANNELS, 32, 4, 8),
            square(32, MOST_CHANNELS, 4, 8),
        ] {
            assert!(conv.winograd_forward().expect("a 3×3 of stride 1").0.pays(), "{conv:?}");
            for low in [-1.0, 0.0] {
                let found = errors(&conv, low, &mut random);
                println!(
                    "{}→{}@{}² from {low}: y {:.1e}, dx {:.1e}, dw {:.1e}",
                    conv.in_channels, conv.out_channels, conv.height, found[0], found[1], found[2]
                );
                assert!(found.iter().all(|&error| error < 2e-5), "{conv:?} from {low}: {found:?}");
            }
        }
        for wide in [square(MOST_CHANNELS + 16, 32, 4, 8), square(32, MOST_CHANNELS + 16, 4, 8)] {
            assert!(!wide.winograd_forward().expect("a 3×3 of stride 1").0.pays(), "{wide:?}");
        }
    }

    #[test]
    fn all_directions_match_plain_loops_for_every_isa_and_thread_count() {
        let mut random = Random(9);
        for conv in shapes() {
            for &isa in available_isas() {
                check(isa, f32::tile(isa), &conv, &mut random);
                check(isa, wide_tile(), &conv, &mut random);
            }
        }
    }

    /// The transforms at the width of AVX-512 against those of four lanes.
    #[test]
    fn transforms_do_not_depend_on_the_width_of_vectors() {
        let mut random = Random(13);
        let conv = shapes()[1];
        let (winograd, _) = conv.winograd_forward().expect("a 3×3 of stride 1");
        let tiles = 1..winograd.tiles() - 1;
        let image: Vec<f32> = random.numbers(conv.input_len());
        let places: Vec<f32> = random.numbers(PLACES * 4096);
        fn compare(len: usize, run: impl Fn(bool, &mut [f32])) {
            let [mut narrow, mut wide] = [vec![0.0f32; len], vec![0.0f32; len]];
            run(false, &mut narrow);
            run(true, &mut wide);
            assert_eq!(narrow, wide);
            assert!(narrow.iter().any(|&x| x != 0.0));
        }
        macro_rules! run {
            ($wide:expr, $kernel:expr) => {
                // SAFETY: both kinds of vector run everywhere, and the buffers have the sizes of the places.
                unsafe {
                    match $wide {
                        true => $kernel.run::<Lanes<f32, 16>>(),
                        false => $kernel.run::<Lanes<f32, 4>>(),
                    }
                }
            };
        }
        let winograd = &winograd;
        compare(PLACES * 4096, |wide, to| {
            let (zeros, to) = (&vec![0.0; conv.in_channels][..], to.as_mut_ptr());
            run!(wide, InputTransform { winograd, image: &image, tiles: tiles.clone(), zeros, place_stride: 4096, to });
        });
        compare(PLACES * 4096, |wide, to| {
            let (image, panel_len, to) = (&places[..], 16 * 32, to.as_mut_ptr());
            let tiles = tiles.clone();
            run!(wide, GradientTransform { winograd, image, tiles, place_stride: 4096, panel_len, width: 32, to });
        });
        compare(conv.output_len(), |wide, to| {
            let (image, bias) = (to.as_mut_ptr(), Some(&places[..]));
            let (columns, tiles, from) = (0..conv.out_channels, tiles.clone(), &places[..]);
            run!(wide, OutputTransform { winograd, image, columns, bias, tiles, place_stride: 4096, from });
        });
        compare(PLACES * 4096, |wide, to| {
            let (taps, to) = (&places[..SLICE * TAPS * 32], to.as_mut_ptr());
            run!(wide, FilterTransform { taps, backwards: true, width: 32, place_stride: 4096, to });
        });
        compare(conv.weight_len(), |wide, to| {
            let (channels, columns) = (0..conv.in_channels, 0..conv.out_channels);
            let (from, to) = (places.as_ptr(), to.as_mut_ptr());
            run!(wide, FilterGradient { winograd, channels, columns, place_stride: 4096, from, to });
        });
    }
}
