//! Convolutions as matrix products whose left matrix is read from the image, a cache-sized block at a time.
//! The unfolded image never exists in memory.
//!
//! One description, [`Gather`], serves the output (a row for each output pixel), the gradient of the input (a row for
//! each input pixel of one stride phase) and the gradient of the weight (the output's rows as columns). The three stay in
//! one file, long as it is, because they are one idea.

use super::conv::Conv2d;
use super::gemm::pack_panel;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::tile::{Output, Tile, split_tiles};
use super::vector::Real;
use std::ops::Range;

/// Longest run of k summed in registers.
const K_BLOCK: usize = 288;
/// Numbers of the left matrix gathered at a time by a thread.
const GATHER_BLOCK: usize = 32 << 10;

/// y = x ∗ weight + bias.
pub fn forward<T: Real>(tile: &'static Tile<T>, conv: &Conv2d, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let (gather, strides, target) = forward_plan(conv, K_BLOCK);
    multiply(tile, &gather, conv.groups, x, (weight, strides), &target, bias, y);
}

/// The product that [`forward`] is, with at most `k_block` steps of k gathered at a time.
pub(super) fn forward_plan(conv: &Conv2d, k_block: usize) -> (Gather, Strides, Target) {
    let size = conv.output_size();
    let (taps, in_group, out_group) = (conv.taps(), conv.in_group(), conv.out_group());
    let gather = Gather::new(conv, [conv.height, conv.width], conv.in_channels, size, conv.stride, &taps, k_block);
    let strides =
        Strides { group: out_group * in_group * taps.len(), channel: taps.len(), column: in_group * taps.len() };
    (gather, strides, Target { size, start: [0, 0], step: [1, 1], channels: conv.out_channels, columns: out_group })
}

/// dx = dy ∗ᵀ weight.
pub fn input_gradient<T: Real>(tile: &'static Tile<T>, conv: &Conv2d, dy: &[T], weight: &[T], dx: &mut [T]) {
    for (gather, strides, target) in input_gradient_plans(conv, K_BLOCK) {
        multiply(tile, &gather, conv.groups, dy, (weight, strides), &target, None, dx);
    }
}

/// The products that [`input_gradient`] is: input pixels of one stride phase meet the same taps, and each phase is a product
/// of its own.
pub(super) fn input_gradient_plans(conv: &Conv2d, k_block: usize) -> impl Iterator<Item = (Gather, Strides, Target)> {
    let size = conv.output_size();
    let (in_group, out_group) = (conv.in_group(), conv.out_group());
    let all_taps = conv.kernel[0] * conv.kernel[1];
    let input = [conv.height, conv.width];
    (0..conv.stride[0] * conv.stride[1]).map(move |i| {
        let phase = [i / conv.stride[1], i % conv.stride[1]];
        // Along an axis: input position x = start + stride·i meets output position i + shift − offset(tap).
        let axis = |d: usize| {
            let (stride, padding) = (conv.stride[d], conv.padding[d]);
            let start = (phase[d] + stride - padding % stride) % stride;
            let shift = (start + padding - phase[d]) / stride;
            (start, shift, input[d].saturating_sub(start).div_ceil(stride))
        };
        let (rows, columns) = (axis(0), axis(1));
        let taps: Vec<Tap> = (0..all_taps)
            .filter_map(|i| {
                let reach = [i / conv.kernel[1] * conv.dilation[0], i % conv.kernel[1] * conv.dilation[1]];
                let meets = (0..2).all(|d| reach[d] % conv.stride[d] == phase[d]);
                let offset = |d: usize, shift: usize| shift as isize - (reach[d] / conv.stride[d]) as isize;
                meets.then(|| Tap { row: offset(0, rows.1), column: offset(1, columns.1), weight: i })
            })
            .collect();
        let grid = [rows.2, columns.2];
        let gather = Gather::new(conv, size, conv.out_channels, grid, [1, 1], &taps, k_block);
        let strides =
            Strides { group: out_group * in_group * all_taps, channel: in_group * all_taps, column: all_taps };
        let target = Target {
            size: input,
            start: [rows.0, columns.0],
            step: conv.stride,
            channels: conv.in_channels,
            columns: in_group,
        };
        (gather, strides, target)
    })
}

/// dw = Σ over pixels of dy · x at each tap: the gathered rows, transposed, times dy.
pub fn weight_gradient<T: Real>(tile: &'static Tile<T>, conv: &Conv2d, x: &[T], dy: &[T], dw: &mut [T]) {
    sum_parts(conv, dw, |gather, chunk, group, range, sums| {
        weight_part(tile, conv, gather, chunk, group, range, x, dy, sums);
    });
}

/// The gradient of the weight from sums over ranges of pixels: `part` writes those of one chunk and group, [k of the chunk,
/// channels of the group].
pub(super) fn sum_parts<T: Real>(
    conv: &Conv2d,
    dw: &mut [T],
    part: impl Fn(&Gather, &Chunk, usize, Range<usize>, &mut [T]) + Sync,
) {
    let size = conv.output_size();
    let (taps, out_group) = (conv.taps(), conv.out_group());
    let gather = Gather::new(conv, [conv.height, conv.width], conv.in_channels, size, conv.stride, &taps, 576);
    let sums = conv.groups * gather.depth * out_group;
    let pixels = gather.rows();
    // Pixels are cut by the shape alone, never by the number of threads: the sums keep their order.
    let parts = (16 / (conv.groups * gather.chunks.len())).min(pixels / 1024).min((2 << 20) / sums.max(1)).max(1);
    with_scratch(parts * sums, |partial: &mut [T]| {
        let shared = SharedPointer::new(partial);
        let tasks = parts * conv.groups * gather.chunks.len();
        parallel_for(tasks, |task| {
            let (chunk, rest) = (task % gather.chunks.len(), task / gather.chunks.len());
            let (group, number) = (rest % conv.groups, rest / conv.groups);
            let chunk = &gather.chunks[chunk];
            let at = (number * conv.groups + group) * gather.depth + chunk.start;
            // SAFETY: each task has its own part, group and range of k.
            let sums = unsafe { shared.slice(at * out_group..(at + chunk.depth) * out_group) };
            part(&gather, chunk, group, pixels * number / parts..pixels * (number + 1) / parts, sums);
        });
        let partial = &*partial;
        // From parts of [group, tap, channel, out] to [out, channel, tap].
        let out = SharedPointer::new(dw);
        let (in_group, filter) = (conv.in_group(), gather.depth);
        let rows = ((1 << 14) / filter.max(1)).clamp(1, 16);
        let blocks = out_group.div_ceil(rows);
        parallel_for(conv.groups * blocks, |task| {
            let (group, first) = (task / blocks, task % blocks * rows);
            let count = rows.min(out_group - first);
            let at = (group * out_group + first) * filter;
            // SAFETY: each task has its own rows of the weight.
            let to = unsafe { out.slice(at..at + count * filter) };
            for (index, tap) in gather.order.iter().enumerate() {
                for channel in 0..in_group {
                    let k = (group * filter + index * in_group + channel) * out_group + first;
                    for o in 0..count {
                        let mut sum = partial[k + o];
                        for part in 1..parts {
                            sum += partial[part * sums + k + o];
                        }
                        to[o * filter + channel * taps.len() + tap.weight] = sum;
                    }
                }
            }
        });
    });
}

/// One task of the weight gradient: `sums` [chunk.depth, out_group] over the pixels of `range`.
fn weight_part<T: Real>(
    tile: &Tile<T>,
    conv: &Conv2d,
    gather: &Gather,
    chunk: &Chunk,
    group: usize,
    range: Range<usize>,
    x: &[T],
    dy: &[T],
    sums: &mut [T],
) {
    let out_group = conv.out_group();
    let panels = out_group.div_ceil(tile.columns);
    let stride = padded_stride(chunk.depth.next_multiple_of(tile.rows));
    // Pixels summed in registers, by the shape alone.
    let pixels_at_once = ((64 << 10) / stride).clamp(128, 384);
    if range.is_empty() {
        sums.fill(T::ZERO);
    }
    with_scratch(pixels_at_once * stride, |rows: &mut [T]| {
        with_scratch(pixels_at_once * panels * tile.columns, |packed: &mut [T]| {
            for first in range.clone().step_by(pixels_at_once) {
                let pixels = pixels_at_once.min(range.end - first);
                gather.fill(x, group, chunk, first..first + pixels, rows, stride);
                let panel_len = pixels_at_once * tile.columns;
                for (panel, to) in packed.chunks_exact_mut(panel_len).enumerate().take(panels) {
                    let column = panel * tile.columns;
                    let from = &dy[first * conv.out_channels + group * out_group + column..];
                    let (lines, to) = (tile.columns.min(out_group - column), &mut to[..pixels * tile.columns]);
                    // SAFETY: each of the pixels has `lines` channels from here on.
                    unsafe { pack_panel(from.as_ptr(), 1, conv.out_channels, lines, pixels, tile.columns, to) };
                }
                for panel in 0..panels {
                    let column = panel * tile.columns;
                    for row in (0..chunk.depth).step_by(tile.rows) {
                        let out = Output {
                            c: sums[row * out_group + column..].as_mut_ptr(),
                            stride: out_group,
                            rows: tile.rows.min(chunk.depth - row),
                            columns: tile.columns.min(out_group - column),
                            alpha: T::ONE,
                            accumulate: first > range.start,
                            bias: std::ptr::null(),
                        };
                        let b = packed[panel * panel_len..].as_ptr();
                        // SAFETY: `rows` holds `pixels` lines of at least `row + tile.rows` numbers, the panel as many
                        // lines of its width, and the sums the stated part of C.
                        unsafe { (tile.by_columns)(pixels, rows[row..].as_ptr(), stride, b, tile.columns, &out) };
                    }
                }
            }
        })
    });
}

/// A tap of the filter: where it looks, relative to the row's base position, and its index in a filter.
#[derive(Clone, Copy)]
pub struct Tap {
    pub row: isize,
    pub column: isize,
    pub weight: usize,
}

/// The left matrix of a convolution: a row for each position of a grid; its k runs over (tap, channel) of a source image.
pub(super) struct Gather {
    batch: usize,
    /// Height and width of the source.
    source: [usize; 2],
    /// Channels of a source pixel, all groups together.
    channels: usize,
    /// Channels of one group.
    pub group: usize,
    pub grid: [usize; 2],
    /// Source positions between neighbours of the grid.
    step: [usize; 2],
    /// The taps in the order of k: by row, then column, so that neighbours lie together in memory.
    pub order: Vec<Tap>,
    pub depth: usize,
    pub chunks: Vec<Chunk>,
}

/// A range of k that is gathered and multiplied at a time.
pub(super) struct Chunk {
    pub start: usize,
    pub depth: usize,
    segments: Vec<Segment>,
}

/// Part of a row that is contiguous in the source where it lies inside: `taps` neighbours of `len` channels each.
struct Segment {
    row: isize,
    column: isize,
    channel: usize,
    taps: usize,
    len: usize,
}

impl Gather {
    fn new(
        conv: &Conv2d,
        source: [usize; 2],
        channels: usize,
        grid: [usize; 2],
        step: [usize; 2],
        taps: &[Tap],
        k_block: usize,
    ) -> Self {
        let group = channels / conv.groups;
        let mut order = taps.to_vec();
        order.sort_by_key(|tap| (tap.row, tap.column));
        let depth = group * order.len();
        let count = depth.div_ceil(k_block).max(1);
        // Whole taps where they are short, else equal parts of one tap.
        let (taps_each, parts) = match group > k_block {
            true => (1, group.div_ceil(k_block)),
            false => (order.len().div_ceil(count).max(1), 1),
        };
        let mut chunks = Vec::new();
        let mut start = 0;
        for taps in order.chunks(taps_each) {
            for part in 0..parts {
                let range = group * part / parts..group * (part + 1) / parts;
                let mut segments: Vec<Segment> = Vec::new();
                for tap in taps {
                    match segments.last_mut() {
                        Some(last)
                            if last.len == channels
                                && last.row == tap.row
                                && last.column + last.taps as isize == tap.column =>
                        {
                            last.taps += 1;
                        }
                        _ => segments.push(Segment {
                            row: tap.row,
                            column: tap.column,
                            channel: range.start,
                            taps: 1,
                            len: range.len(),
                        }),
                    }
                }
                let depth = taps.len() * range.len();
                chunks.push(Chunk { start, depth, segments });
                start += depth;
            }
        }
        if chunks.is_empty() {
            // A phase that no tap meets.
            chunks.push(Chunk { start: 0, depth: 0, segments: Vec::new() });
        }
        Gather { batch: conv.batch, source, channels, group, grid, step, order, depth, chunks }
    }

    pub fn rows(&self) -> usize {
        self.batch * self.grid[0] * self.grid[1]
    }

    /// Writes the chunk of k of the rows `rows` (positions of the grid, image by image) to lines of `stride`.
    /// Outside the image are zeros.
    pub fn fill<T: Copy + Default>(
        &self,
        source: &[T],
        group: usize,
        chunk: &Chunk,
        rows: Range<usize>,
        to: &mut [T],
        stride: usize,
    ) {
        let [height, width] = self.source.map(|size| size as isize);
        let mut column = rows.start % self.grid[1];
        let mut row = rows.start / self.grid[1] % self.grid[0];
        let mut image = rows.start / self.grid[1] / self.grid[0];
        for to in to.chunks_mut(stride).take(rows.len()) {
            let mut at = 0;
            let base = [(row * self.step[0]) as isize, (column * self.step[1]) as isize];
            for segment in &chunk.segments {
                let len = segment.taps * segment.len;
                let to = &mut to[at..at + len];
                at += len;
                let (y, x) = (base[0] + segment.row, base[1] + segment.column);
                let first = (-x).clamp(0, segment.taps as isize);
                let end = (width - x).clamp(first, segment.taps as isize);
                if y < 0 || y >= height || first == end {
                    to.fill(T::default());
                    continue;
                }
                let pixel = (image * self.source[0] + y as usize) * self.source[1] + (x + first) as usize;
                let from = pixel * self.channels + group * self.group + segment.channel;
                let (first, end) = (first as usize * segment.len, end as usize * segment.len);
                to[..first].fill(T::default());
                copy_short(&source[from..from + end - first], &mut to[first..end]);
                to[end..].fill(T::default());
            }
            column += 1;
            if column == self.grid[1] {
                (column, row) = (0, row + 1);
                if row == self.grid[0] {
                    (row, image) = (0, image + 1);
                }
            }
        }
    }
}

/// Copies slices of one length; short ones by two overlapping vectors, which a call to `memcpy` would dwarf.
#[inline(always)]
fn copy_short<T: Copy>(from: &[T], to: &mut [T]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<8>(), from.last_chunk::<8>())
        && from.len() <= 16
    {
        let end = to.len();
        to[..8].copy_from_slice(first);
        to[end - 8..].copy_from_slice(last);
    } else {
        to.copy_from_slice(from);
    }
}

/// How filters lie as the right matrix: element ((tap, channel), column) of a group.
#[derive(Clone, Copy)]
pub(super) struct Strides {
    pub group: usize,
    pub channel: usize,
    pub column: usize,
}

/// Where the rows of a product go: pixels `start + step · grid position` of an image.
pub(super) struct Target {
    pub size: [usize; 2],
    pub start: [usize; 2],
    pub step: [usize; 2],
    /// Channels of a pixel, all groups together.
    pub channels: usize,
    /// Channels of one group: the columns of the product.
    pub columns: usize,
}

impl Target {
    /// Whether the rows are the pixels of the image in order.
    pub fn is_whole(&self, grid: [usize; 2]) -> bool {
        self.size == grid && self.step == [1, 1] && self.start == [0, 0]
    }

    /// The pixel, counted through the batch, that a row of the product is.
    pub fn pixel(&self, grid: [usize; 2], row: usize) -> usize {
        let (image, y, x) = (row / grid[1] / grid[0], row / grid[1] % grid[0], row % grid[1]);
        (image * self.size[0] + self.start[0] + y * self.step[0]) * self.size[1] + self.start[1] + x * self.step[1]
    }
}

/// The product of a gathered matrix and filters, group by group, into an image.
fn multiply<T: Real>(
    tile: &'static Tile<T>,
    gather: &Gather,
    groups: usize,
    source: &[T],
    weight: (&[T], Strides),
    target: &Target,
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let rows = gather.rows();
    if rows * target.columns == 0 {
        return;
    }
    let panels = target.columns.div_ceil(tile.columns);
    let panel_len = gather.depth * tile.columns;
    with_scratch(groups * panels * panel_len, |packed: &mut [T]| {
        let shared = SharedPointer::new(packed);
        parallel_for(groups * panels, |task| {
            // SAFETY: each task has its own panel.
            let to = unsafe { shared.slice(task * panel_len..(task + 1) * panel_len) };
            pack_weight(gather, weight, task / panels, task % panels * tile.columns, target.columns, tile.columns, to);
        });
        let row_tiles = rows.div_ceil(tile.rows);
        let deepest = gather.chunks.iter().map(|chunk| chunk.depth).max().unwrap_or(0);
        let row_limit = (GATHER_BLOCK / deepest.max(1)).clamp(tile.rows, 1024) / tile.rows;
        let [row_tasks, column_tasks] = split_tiles(row_tiles, panels, row_limit, num_threads().div_ceil(groups));
        let out = SharedPointer::new(out);
        let packed = &*packed;
        parallel_for(groups * row_tasks * column_tasks, |task| {
            let (row_task, rest) = (task % row_tasks, task / row_tasks);
            let (column_task, group) = (rest % column_tasks, rest / column_tasks);
            let tiles = row_tiles * row_task / row_tasks..row_tiles * (row_task + 1) / row_tasks;
            let range = tiles.start * tile.rows..(tiles.end * tile.rows).min(rows);
            let columns = panels * column_task / column_tasks..panels * (column_task + 1) / column_tasks;
            let packed = &packed[group * panels * panel_len..(group + 1) * panels * panel_len];
            let first = columns.start * tile.columns;
            let width = (columns.end * tile.columns).min(target.columns) - first;
            let channel = group * target.columns + first;
            let bias = bias.map_or(std::ptr::null(), |bias| bias[channel..channel + width].as_ptr());
            let b = &packed[columns.start * panel_len..columns.end * panel_len];
            if target.is_whole(gather.grid) {
                // SAFETY: rows and channels lie in the image and are this task's own.
                unsafe {
                    let c = out.get().add(range.start * target.channels + channel);
                    block(tile, gather, group, source, range, b, width, bias, c, target.channels);
                }
            } else if gather.depth == 0 {
                for row in range {
                    let at = target.pixel(gather.grid, row) * target.channels + channel;
                    // SAFETY: each pixel belongs to one row, and each row to one task.
                    unsafe { out.slice(at..at + width).fill(T::ZERO) };
                }
            } else {
                with_scratch(range.len() * width, |dense: &mut [T]| {
                    // SAFETY: `dense` is the block; each of its rows is a pixel of the image that only this task writes.
                    unsafe {
                        block(tile, gather, group, source, range.clone(), b, width, bias, dense.as_mut_ptr(), width);
                        for (row, values) in range.zip(dense.chunks_exact(width)) {
                            let at = target.pixel(gather.grid, row) * target.channels + channel;
                            out.slice(at..at + width).copy_from_slice(values);
                        }
                    }
                });
            }
        });
    });
}

/// Rows `range` times the panels in `b`, into `c` with rows `c_stride` apart.
///
/// # Safety
/// `c` can be written for all rows and `width` columns; a bias that is not null has `width` values.
unsafe fn block<T: Real>(
    tile: &Tile<T>,
    gather: &Gather,
    group: usize,
    source: &[T],
    range: Range<usize>,
    b: &[T],
    width: usize,
    bias: *const T,
    c: *mut T,
    c_stride: usize,
) {
    let deepest = gather.chunks.iter().map(|chunk| chunk.depth).max().unwrap_or(0);
    let stride = padded_stride(deepest);
    let panel_len = gather.depth * tile.columns;
    // The last tile reads whole, beyond the rows.
    with_scratch(range.len().next_multiple_of(tile.rows) * stride, |rows: &mut [T]| {
        for (index, chunk) in gather.chunks.iter().enumerate() {
            gather.fill(source, group, chunk, range.clone(), rows, stride);
            for column in (0..width).step_by(tile.columns) {
                let panel = column / tile.columns * panel_len + chunk.start * tile.columns;
                for row in (0..range.len()).step_by(tile.rows) {
                    // SAFETY: passed on; the gathered rows and the panel hold `chunk.depth` steps of k.
                    unsafe {
                        let out = Output {
                            c: c.add(row * c_stride + column),
                            stride: c_stride,
                            rows: tile.rows.min(range.len() - row),
                            columns: tile.columns.min(width - column),
                            alpha: T::ONE,
                            accumulate: index > 0,
                            bias: if index > 0 || bias.is_null() { std::ptr::null() } else { bias.add(column) },
                        };
                        let a = rows.as_ptr().add(row * stride);
                        (tile.by_rows)(chunk.depth, a, stride, b.as_ptr().add(panel), tile.columns, &out);
                    }
                }
            }
        }
    });
}

/// One panel of filters: element (k, line) at `k * width + line`, zeros beyond the last column.
fn pack_weight<T: Real>(
    gather: &Gather,
    (weight, strides): (&[T], Strides),
    group: usize,
    column: usize,
    columns: usize,
    width: usize,
    to: &mut [T],
) {
    let lines = width.min(columns - column);
    let base = group * strides.group + column * strides.column;
    for channel in 0..gather.group {
        for (index, tap) in gather.order.iter().enumerate() {
            let from = base + channel * strides.channel + tap.weight;
            let k = index * gather.group + channel;
            let to = &mut to[k * width..(k + 1) * width];
            for line in 0..lines {
                to[line] = weight[from + line * strides.column];
            }
            to[lines..].fill(T::ZERO);
        }
    }
}

/// A row stride of whole cache lines whose count is odd: neighbouring rows never fall into one set of the cache.
fn padded_stride(len: usize) -> usize {
    (len.div_ceil(16) | 1) * 16
}
