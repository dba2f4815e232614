//! Sums over each channel of a batch on a GPU, in pieces that workgroups add up: what batch norm measures, forward and back.

use crate::cpu::norm::Channels;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::batch_norm::channels_of;
use crate::ops::kernel::{self, Kernel, MAIN, gpu_of};
use crate::shape::Layout;
use crate::tensor::Tensor;
use std::sync::Arc;

/// Invocations of a workgroup, and the channels beside each other in it where they lie so in memory.
const SIZE: usize = 256;
const TILE: usize = 32;
/// Elements that a workgroup adds up, at least, and workgroups that are worth starting.
const PIECE: usize = 4096;
const ENOUGH: usize = 512;

/// A part of the batch that one launch adds up, each channel of it in pieces: the numbers of its images and of their elements of a
/// channel, its pieces, the length of one, and the pieces of the parts before it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    images: [usize; 2],
    elements: usize,
    pieces: usize,
    length: usize,
    before: usize,
}

/// Sizes of a tensor that lies in memory as [outer, channels, inner], and the parts it is added up in: as few as a binding allows.
pub(super) struct Sums {
    pub gpu: Arc<Gpu>,
    pub channels: usize,
    pub inner: usize,
    parts: Vec<Part>,
}

impl Sums {
    /// Of a dense tensor, row-major or with channels innermost.
    pub fn of(x: &Tensor) -> Result<Sums> {
        let gpu = gpu_of(x)?;
        let (Channels { outer, channels, inner }, _) = channels_of(x);
        let most = (gpu.limits().binding as usize - 512) / size_of::<f32>();
        let parts = parts_of([outer, channels, inner], most);
        Ok(Sums { gpu, channels, inner, parts })
    }

    /// Groups of channels that a workgroup takes together.
    fn tiles(&self) -> usize {
        self.channels.div_ceil(tile_of(self.inner))
    }

    /// Pieces of a channel.
    pub fn pieces(&self) -> usize {
        self.parts.last().map_or(0, |part| part.before + part.pieces)
    }

    pub fn per_channel(&self) -> Result<Tensor> {
        kernel::output_of(&self.gpu, &[self.channels], DType::F32)
    }

    /// Launches a kernel on each part. p(0) to p(6): workgroups, pieces, length of one, inner size, elements of an image,
    /// elements of a channel, pieces before; p(7): channels; p(8) on: the constants, then the places of inputs, vectors and outputs.
    pub fn run(
        &self,
        key: &str,
        wgsl: &dyn Fn() -> String,
        constants: &[f32],
        inputs: &[&Tensor],
        vectors: &[&Tensor],
        outputs: &[&Tensor],
    ) -> Result<()> {
        for part in &self.parts {
            let image = self.channels * self.inner;
            let mut launch = Kernel::new(&self.gpu);
            launch.set_sizes(&[self.tiles() * part.pieces, part.pieces, part.length, self.inner, image]);
            launch.set_sizes(&[part.elements, part.before, self.channels]);
            launch.set_floats(constants);
            for tensor in inputs {
                let [first, count] = part.images;
                let window =
                    Layout { offset: tensor.layout().offset + first * image, ..Layout::contiguous(&[count * image]) };
                let place = launch.bind(tensor, &window, false)?;
                launch.set(&[place]);
            }
            for vector in vectors {
                let place = launch.read(vector)?;
                launch.set(&[place]);
            }
            for output in outputs {
                let place = launch.write(output)?;
                launch.set(&[place]);
            }
            launch.run(key, wgsl, self.gpu.workgroups(self.tiles() * part.pieces, 1)?)?;
        }
        Ok(())
    }
}

/// Channels beside each other in a workgroup.
pub(super) fn tile_of(inner: usize) -> usize {
    if inner == 1 { TILE } else { 1 }
}

fn parts_of([outer, channels, inner]: [usize; 3], most: usize) -> Vec<Part> {
    let together = (most / (channels * inner).max(1)).clamp(1, outer.max(1));
    let mut before = 0;
    (0..outer)
        .step_by(together)
        .map(|first| {
            let count = together.min(outer - first);
            let elements = count * inner;
            let tile = tile_of(inner);
            let pieces = elements.div_ceil(PIECE / tile).min(ENOUGH.div_ceil(channels.div_ceil(tile))).max(1);
            let length = elements.div_ceil(pieces);
            let part = Part { images: [first, count], elements, pieces: elements.div_ceil(length), length, before };
            before += part.pieces;
            part
        })
        .collect()
}

/// A kernel with a workgroup a piece of a channel, or of TILE channels where they lie side by side: `c` is the channel of an
/// invocation, first + lane, … + STEP … its elements below `end`, `place(e, c)` where one lies, `sum_of` a sum over the invocations
/// of a channel; what is found is stored by those that are `told`.
pub(super) fn piecewise(inner: usize, names: &[&str], types: &[DType], written: usize, body: &str) -> String {
    let bindings = bindings(names, types, written);
    let (sums, lanes) = if tile_of(inner) == 1 {
        (include_str!("rows.wgsl"), "let c = work / p(1u);\nlet lane = local;\nlet told = inside && local == 0u;")
    } else {
        (
            SIDE_BY_SIDE,
            "let channel = (work / p(1u)) * TILE + local % TILE;
let c = min(channel, p(7u) - 1u);
let lane = local / TILE;
let told = inside && lane == 0u && channel < p(7u);",
        )
    };
    let step = SIZE / tile_of(inner);
    format!(
        "const SIZE = {SIZE}u;
const TILE = {TILE}u;
const STEP = {step}u;
{sums}
{bindings}
fn place(e: u32, c: u32) -> u32 {{ return (e / p(3u)) * p(4u) + c * p(3u) + e % p(3u); }}
@compute @workgroup_size({SIZE})
{MAIN} {{
let number = group.y * groups.x + group.x;
let inside = number < p(0u);
let work = min(number, p(0u) - 1u);
let first = (work % p(1u)) * p(2u);
let end = min(first + p(2u), p(5u));
{lanes}
{body}
}}
"
    )
}

const SIDE_BY_SIDE: &str = "var<workgroup> lanes: array<f32, SIZE>;
fn sum_of(local: u32, value: f32) -> f32 {
    lanes[local] = value;
    for (var half = SIZE / 2u; half >= TILE; half = half / 2u) {
        workgroupBarrier();
        if (local < half) { lanes[local] = lanes[local] + lanes[local + half]; }
    }
    workgroupBarrier();
    let total = lanes[local % TILE];
    workgroupBarrier();
    return total;
}
";

/// Buffers of floats, the last of them written; the first are of these types, the others float32.
pub(super) fn bindings(names: &[&str], types: &[DType], written: usize) -> String {
    let line = |(i, name): (usize, &&str)| {
        let access = if i + written < names.len() { "read" } else { "read_write" };
        let kind = kernel::element(types.get(i).copied().unwrap_or(DType::F32));
        format!("@group(0) @binding({}) var<storage, {access}> {name}: array<{kind}>;\n", i + 1)
    };
    names.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_batch_and_their_pieces_each_channel() {
        for sizes @ [outer, channels, inner] in [[64, 64, 1024], [3, 5, 7], [1, 1, 2], [256, 512, 16], [9, 3, 100_000]]
        {
            for most in [channels * inner, 3 * channels * inner, usize::MAX / 2] {
                let parts = parts_of(sizes, most);
                let (mut images, mut pieces) = (0, 0);
                for part in &parts {
                    assert_eq!((part.images[0], part.before), (images, pieces));
                    assert!(part.images[1] * channels * inner <= most && part.elements == part.images[1] * inner);
                    assert!(
                        (part.pieces - 1) * part.length < part.elements && part.elements <= part.pieces * part.length
                    );
                    (images, pieces) = (images + part.images[1], pieces + part.pieces);
                }
                assert_eq!(images, outer);
            }
        }
    }
}
