//! Convolutions of bfloat16 as matrix products by AVX512_BF16: the left matrix is gathered from the image a block at a time,
//! as `implicit` does for float32; this file has its plans from there.

use super::conv::Conv2d;
use super::gemm_avx512_bf16::{COLUMNS, Operand, Output, ROWS, Target as Place, odd_lines, pack, run_tile, with_pairs};
use super::half::{Matrix16, Values, ValuesMut, narrow_row};
use super::implicit::{Chunk, Gather, Strides, Target, forward_plan, input_gradient_plans, sum_parts};
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for};
use super::tile::split_tiles;
use crate::half::Bf16;
use std::ops::Range;

/// Longest run of k summed in registers.
const K_BLOCK: usize = 1152;
/// Numbers of the left matrix gathered at a time by a thread.
const GATHER_BLOCK: usize = 64 << 10;

/// y = x ∗ weight + bias. Weight in either type.
pub fn forward(conv: &Conv2d, x: &[Bf16], weight: Values, bias: Option<&[f32]>, y: ValuesMut) {
    let (gather, strides, target) = forward_plan(conv, K_BLOCK);
    multiply(&gather, conv.groups, x, (weight, strides), &target, bias, &mut { y });
}

/// dx = dy ∗ᵀ weight.
pub fn input_gradient(conv: &Conv2d, dy: &[Bf16], weight: Values, mut dx: ValuesMut) {
    for (gather, strides, target) in input_gradient_plans(conv, K_BLOCK) {
        multiply(&gather, conv.groups, dy, (weight, strides), &target, None, &mut dx);
    }
}

/// dw = Σ over pixels of dy · x at each tap.
pub fn weight_gradient(conv: &Conv2d, x: &[Bf16], dy: &[Bf16], dw: &mut [f32]) {
    sum_parts(conv, dw, |gather, chunk, group, range, sums| {
        weight_part(conv, gather, chunk, group, range, x, dy, sums)
    });
}

/// Where each chunk of k begins in a panel, in pairs, and the pairs of all.
fn pair_starts(gather: &Gather) -> (Vec<usize>, usize) {
    let mut end = 0;
    let starts = gather
        .chunks
        .iter()
        .map(|chunk| {
            end += chunk.depth.div_ceil(2);
            end - chunk.depth.div_ceil(2)
        })
        .collect();
    (starts, end)
}

fn multiply(
    gather: &Gather,
    groups: usize,
    source: &[Bf16],
    weight: (Values, Strides),
    target: &Target,
    bias: Option<&[f32]>,
    out: &mut ValuesMut,
) {
    let rows = gather.rows();
    if rows * target.columns == 0 {
        return;
    }
    let panels = target.columns.div_ceil(COLUMNS);
    let (starts, pairs) = pair_starts(gather);
    let panel_len = pairs * COLUMNS;
    let whole = target.is_whole(gather.grid);
    with_pairs(groups * panels * panel_len, |packed| {
        let shared = SharedPointer::new(packed);
        parallel_for(groups * panels, |task| {
            // SAFETY: each task has its own panel.
            let to = unsafe { shared.slice(task * panel_len..(task + 1) * panel_len) };
            pack_weight(gather, &starts, weight, task / panels, task % panels * COLUMNS, target.columns, to);
        });
        let row_tiles = rows.div_ceil(ROWS);
        let deepest = gather.chunks.iter().map(|chunk| chunk.depth).max().unwrap_or(0);
        let row_limit = (GATHER_BLOCK / deepest.max(1)).clamp(ROWS, 1024) / ROWS;
        let [row_tasks, column_tasks] = split_tiles(row_tiles, panels, row_limit, num_threads().div_ceil(groups));
        let packed = &*packed;
        let place = SharedPlace(match out {
            ValuesMut::Wide(out) => Place::Wide(out.as_mut_ptr()),
            ValuesMut::Narrow(out) => Place::Narrow(out.as_mut_ptr()),
        });
        parallel_for(groups * row_tasks * column_tasks, |task| {
            let (row_task, rest) = (task % row_tasks, task / row_tasks);
            let (column_task, group) = (rest % column_tasks, rest / column_tasks);
            let tiles = row_tiles * row_task / row_tasks..row_tiles * (row_task + 1) / row_tasks;
            let range = tiles.start * ROWS..(tiles.end * ROWS).min(rows);
            let columns = panels * column_task / column_tasks..panels * (column_task + 1) / column_tasks;
            let packed = &packed[group * panels * panel_len..(group + 1) * panels * panel_len];
            let first = columns.start * COLUMNS;
            let width = (columns.end * COLUMNS).min(target.columns) - first;
            let channel = group * target.columns + first;
            let bias = bias.map_or(std::ptr::null(), |bias| bias[channel..channel + width].as_ptr());
            let b = &packed[columns.start * panel_len..columns.end * panel_len];
            let part = Part { gather, starts: &starts, group, source, range: range.clone(), b, panel_len, width, bias };
            if whole && (gather.chunks.len() == 1 || matches!(place.get(), Place::Wide(_))) {
                // SAFETY: rows and channels lie in the image and are this task's own.
                unsafe { part.run(place.get().offset(range.start * target.channels + channel), target.channels) };
            } else {
                with_scratch(range.len() * width, |dense: &mut [f32]| {
                    // SAFETY: `dense` is the block; each of its rows is a pixel of the image that only this task writes.
                    unsafe {
                        part.run(Place::Wide(dense.as_mut_ptr()), width);
                        for (row, values) in range.zip(dense.chunks_exact(width)) {
                            let at = target.pixel(gather.grid, row) * target.channels + channel;
                            match place.get().offset(at) {
                                Place::Wide(to) => std::slice::from_raw_parts_mut(to, width).copy_from_slice(values),
                                Place::Narrow(to) => narrow_row(values, std::slice::from_raw_parts_mut(to, width)),
                            }
                        }
                    }
                });
            }
        });
    });
}

/// An address that tasks may share.
struct SharedPlace(Place);

impl SharedPlace {
    fn get(&self) -> Place {
        self.0
    }
}

// SAFETY: tasks write disjoint parts.
unsafe impl Sync for SharedPlace {}

/// Rows `range` times the panels in `b`.
struct Part<'a> {
    gather: &'a Gather,
    starts: &'a [usize],
    group: usize,
    source: &'a [Bf16],
    range: Range<usize>,
    b: &'a [u32],
    panel_len: usize,
    width: usize,
    /// `width` values or null.
    bias: *const f32,
}

impl Part<'_> {
    /// Into `c` with rows `c_stride` apart.
    ///
    /// # Safety
    /// `c` can be written for all rows and columns, and is float32 where there are several chunks.
    unsafe fn run(&self, c: Place, c_stride: usize) {
        let Part { gather, range, .. } = self;
        let deepest = gather.chunks.iter().map(|chunk| chunk.depth).max().unwrap_or(0);
        let stride = odd_lines(deepest.next_multiple_of(2));
        // The last tile reads whole, beyond the rows.
        with_pairs(range.len().next_multiple_of(ROWS) * stride / 2, |scratch| {
            // SAFETY: half the size, a smaller alignment, and every bit pattern is a Bf16.
            let rows: &mut [Bf16] =
                unsafe { std::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast(), scratch.len() * 2) };
            for (index, chunk) in gather.chunks.iter().enumerate() {
                gather.fill(self.source, self.group, chunk, range.clone(), rows, stride);
                if !chunk.depth.is_multiple_of(2) {
                    rows.chunks_exact_mut(stride).for_each(|row| row[chunk.depth] = Bf16(0));
                }
                for column in (0..self.width).step_by(COLUMNS) {
                    let panel = column / COLUMNS * self.panel_len + self.starts[index] * COLUMNS;
                    for row in (0..range.len()).step_by(ROWS) {
                        let out = Output {
                            c: c.offset(row * c_stride + column),
                            stride: c_stride,
                            rows: ROWS.min(range.len() - row),
                            columns: COLUMNS.min(self.width - column),
                            accumulate: index > 0,
                            bias: match index > 0 || self.bias.is_null() {
                                true => std::ptr::null(),
                                false => self.bias.wrapping_add(column),
                            },
                        };
                        // SAFETY: the gathered rows and the panel hold the chunk's pairs; the rest is passed on.
                        unsafe {
                            let a = rows.as_ptr().add(row * stride).cast();
                            run_tile::<true>(chunk.depth.div_ceil(2), a, stride, self.b.as_ptr().add(panel), &out);
                        }
                    }
                }
            }
        });
    }
}

/// One panel of filters, chunk by chunk: (k, line) at pair `k / 2 * COLUMNS + line`; zeros where there is nothing.
fn pack_weight(
    gather: &Gather,
    starts: &[usize],
    (weight, strides): (Values, Strides),
    group: usize,
    column: usize,
    columns: usize,
    to: &mut [u32],
) {
    let lines = COLUMNS.min(columns - column);
    let base = group * strides.group + column * strides.column;
    let number = |k: usize, line: usize| {
        let (tap, channel) = (gather.order[k / gather.group].weight, k % gather.group);
        u32::from(weight.narrow(base + line * strides.column + channel * strides.channel + tap).0)
    };
    for (chunk, start) in gather.chunks.iter().zip(starts) {
        let pairs = chunk.depth.div_ceil(2);
        for (pair, to) in to[start * COLUMNS..(start + pairs) * COLUMNS].chunks_exact_mut(COLUMNS).enumerate() {
            let k = chunk.start + 2 * pair;
            let last = 2 * pair + 1 == chunk.depth;
            for (line, to) in to.iter_mut().enumerate() {
                *to = match (line < lines, last) {
                    (false, _) => 0,
                    (true, true) => number(k, line),
                    (true, false) => number(k, line) | number(k + 1, line) << 16,
                };
            }
        }
    }
}

/// One task of the weight gradient: `sums` [chunk.depth, out_group] over the pixels of `range`.
fn weight_part(
    conv: &Conv2d,
    gather: &Gather,
    chunk: &Chunk,
    group: usize,
    range: Range<usize>,
    x: &[Bf16],
    dy: &[Bf16],
    sums: &mut [f32],
) {
    let out_group = conv.out_group();
    let panels = out_group.div_ceil(COLUMNS);
    let stride = odd_lines(chunk.depth);
    // Pixels summed in registers, by the shape alone; an even number.
    let pixels_at_once = ((128 << 10) / stride).clamp(128, 512) / 2 * 2;
    if range.is_empty() {
        sums.fill(0.0);
    }
    let pairs_at_once = pixels_at_once / 2;
    with_pairs(pixels_at_once * stride / 2, |gathered| {
        // SAFETY: half the size, a smaller alignment, and every bit pattern is a Bf16.
        let rows: &mut [Bf16] =
            unsafe { std::slice::from_raw_parts_mut(gathered.as_mut_ptr().cast(), gathered.len() * 2) };
        with_pairs(pairs_at_once * (panels * COLUMNS + ROWS), |packed| {
            let (b, a) = packed.split_at_mut(pairs_at_once * panels * COLUMNS);
            for first in range.clone().step_by(pixels_at_once) {
                let pixels = pixels_at_once.min(range.end - first);
                let pairs = pixels.div_ceil(2);
                gather.fill(x, group, chunk, first..first + pixels, rows, stride);
                for (panel, to) in b.chunks_exact_mut(pairs_at_once * COLUMNS).enumerate().take(panels) {
                    let column = panel * COLUMNS;
                    let values = Values::Narrow(&dy[first * conv.out_channels + group * out_group + column..]);
                    let lines = Operand::of(Matrix16 { values, row_stride: 1, column_stride: conv.out_channels });
                    let count = COLUMNS.min(out_group - column);
                    // SAFETY: each of the pixels has `count` channels from here on.
                    unsafe { pack::<COLUMNS>(lines, count, pixels, &mut to[..pairs * COLUMNS]) };
                }
                for row in (0..chunk.depth).step_by(ROWS) {
                    let count = ROWS.min(chunk.depth - row);
                    let values = Values::Narrow(&rows[row..]);
                    let lines = Operand::of(Matrix16 { values, row_stride: 1, column_stride: stride });
                    // SAFETY: each gathered row has `count` numbers from here on.
                    unsafe { pack::<ROWS>(lines, count, pixels, &mut a[..pairs * ROWS]) };
                    for panel in 0..panels {
                        let column = panel * COLUMNS;
                        let out = Output {
                            c: Place::Wide(sums[row * out_group + column..].as_mut_ptr()),
                            stride: out_group,
                            rows: count,
                            columns: COLUMNS.min(out_group - column),
                            accumulate: first > range.start,
                            bias: std::ptr::null(),
                        };
                        let b = b[panel * pairs_at_once * COLUMNS..].as_ptr();
                        // SAFETY: both panels hold `pairs` pairs, and the sums the stated part of C.
                        unsafe { run_tile::<false>(pairs, a.as_ptr(), 0, b, &out) };
                    }
                }
            }
        });
    });
}
