//! How the kernels of augmentation are launched: an invocation a pixel of the result, over as many images at a time as a binding
//! holds.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::image::record::Extent;
use crate::ops::kernel::{self, Kernel};
use crate::shape::{Dims, Layout, channels_last_strides};
use crate::tensor::Tensor;
use std::sync::Arc;

/// One kernel with an invocation for each pixel of the result.
pub struct Stage<'a> {
    pub table: &'a Tensor,
    pub leaves: Extent,
    /// Parameters from number 15 on.
    pub more: &'a [usize],
}

impl Stage<'_> {
    pub fn run(
        &self,
        gpu: &Arc<Gpu>,
        images: &Tensor,
        sums: Option<&Tensor>,
        key: &str,
        text: &dyn Fn() -> String,
    ) -> Result<Tensor> {
        let Extent { height, width, channels } = self.leaves;
        let shape = [images.shape()[0], channels, height, width];
        let layout = Layout { shape: Dims::from_slice(&shape), strides: channels_last_strides(&shape), offset: 0 };
        let out = kernel::output(gpu, layout, DType::F32)?;
        for (first, count) in parts(gpu, images, channels * height * width) {
            let mut launch = Kernel::new(gpu);
            let from = launch.bind(images, &window(images, first, count), false)?;
            let at = launch.read(self.table)?;
            let to = launch.bind(&out, &window(&out, first, count), true)?;
            if let Some(sums) = sums {
                launch.read(sums)?;
            }
            let pixels = count * height * width;
            launch.set(&[pixels as u32, from, at, to]);
            launch.set_sizes(&[first, images.shape()[2], images.shape()[3], images.shape()[1], height, width]);
            launch.set_sizes(images.strides());
            launch.set_sizes(&[channels]);
            launch.set_sizes(self.more);
            launch.run_each(&format!("augment {key}"), &|| format!("{HEAD}{}", text()), pixels)?;
        }
        Ok(out)
    }
}

/// As many images at a time as a binding holds: the first of each part, and how many it has. `made` are elements of an image made.
pub fn parts(gpu: &Arc<Gpu>, images: &Tensor, made: usize) -> Vec<(usize, usize)> {
    let batch = images.shape()[0];
    let most = (gpu.limits().binding as usize - 512) / size_of::<f32>();
    let each = (most / images.strides()[0].max(made).max(1)).max(1);
    (0..batch).step_by(each).map(|first| (first, each.min(batch - first))).collect()
}

/// Some images of a batch, as a layout of its storage.
pub fn window(images: &Tensor, first: usize, count: usize) -> Layout {
    let mut layout = images.layout().clone();
    layout.offset += first * layout.strides[0];
    layout.shape[0] = count;
    layout
}

/// What all kernels have. Parameters: 0 invocations; 1, 2, 3 places of images, table and result; 4 the first image; 5, 6, 7 height,
/// width and channels of the images; 8, 9 height and width of the result; 10 to 13 strides of the images; 14 channels of the result.
pub const HEAD: &str = "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
fn t(i: u32) -> u32 { return table[p(2u) + i]; }
fn tf(i: u32) -> f32 { return bitcast<f32>(t(i)); }
fn pixel(image: u32, row: u32, column: u32) -> vec3<f32> {
    let at = p(1u) + image * p(10u) + row * p(12u) + column * p(13u);
    if (p(7u) == 1u) { return vec3<f32>(x[at]); }
    return vec3<f32>(x[at], x[at + p(11u)], x[at + 2u * p(11u)]);
}
fn put(i: u32, v: vec3<f32>) {
    let at = p(3u) + i * p(14u);
    out[at] = v.x;
    if (p(14u) == 3u) {
        out[at + 1u] = v.y;
        out[at + 2u] = v.z;
    }
}
";

/// The pixel of the result that an invocation makes.
pub const PLACE: &str = "if (i >= p(0u)) { return; }
let image = i / (p(8u) * p(9u));
let row = i / p(9u) % p(8u);
let column = i % p(9u);
";
