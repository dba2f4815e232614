//! Convolution on a GPU and its two gradients, as implicit products of matrices: no image is unfolded in memory.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::conv_product::Filter;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::product_gpu::{Factor, Kind, Plan, Product, Target};
use crate::ops::winograd_gpu::Winograd;
use crate::ops::{movement, movement_gpu, reduce_gpu};
use crate::shape::{Layout, contiguous_strides};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Sizes of a convolution: [batch, channels, height, width] of image and result, [out, in of a group, height, width] of
/// the filter.
struct Sizes {
    filter: Filter,
    image: [usize; 4],
    result: [usize; 4],
    kernel: [usize; 4],
}

impl Sizes {
    fn new(filter: Filter, image: &[usize], kernel: &[usize]) -> Sizes {
        let axis = |d: usize| {
            let reach = filter.dilation[d] * (kernel[2 + d] - 1) + 1;
            (image[2 + d] + 2 * filter.padding[d] - reach) / filter.stride[d] + 1
        };
        let four = |s: &[usize]| <[usize; 4]>::try_from(s).expect("four dimensions");
        Sizes { filter, image: four(image), result: [image[0], kernel[0], axis(0), axis(1)], kernel: four(kernel) }
    }

    fn taps(&self) -> usize {
        self.kernel[2] * self.kernel[3]
    }

    fn out_of_group(&self) -> usize {
        self.kernel[0] / self.filter.groups
    }

    fn is_empty(&self) -> bool {
        self.image.iter().chain(&self.result).chain(&self.kernel).any(|&n| n == 0)
    }

    /// The way by transforms, if it pays.
    fn winograd(&self, gpu: &Gpu, factors: [&Tensor; 2]) -> Option<Winograd> {
        let whole_quads = factors.iter().all(|t| t.layout().offset.is_multiple_of(4));
        Winograd::new(gpu, self.filter, &self.image, &self.result, &self.kernel).filter(|_| whole_quads)
    }

    /// What distinguishes kernels, and the constants in their texts.
    fn constants(&self) -> (String, String) {
        let Filter { stride, padding, dilation, .. } = self.filter;
        let numbers = [
            ("KERNEL_Y", self.kernel[2]),
            ("KERNEL_X", self.kernel[3]),
            ("SPLIT_Y", self.split()[0]),
            ("SPLIT_X", self.split()[1]),
            ("STRIDE_Y", stride[0]),
            ("STRIDE_X", stride[1]),
            ("PAD_Y", padding[0]),
            ("PAD_X", padding[1]),
            ("DILATION_Y", dilation[0]),
            ("DILATION_X", dilation[1]),
            ("IN", self.kernel[1]),
            ("OUT", self.out_of_group()),
            ("IMAGE_Y", self.image[2]),
            ("IMAGE_X", self.image[3]),
            ("RESULT_Y", self.result[2]),
            ("RESULT_X", self.result[3]),
        ];
        let key = numbers.iter().map(|(_, n)| n.to_string()).collect::<Vec<_>>().join(" ");
        (key, numbers.iter().map(|(name, n)| format!("const {name} = {n}u;\n")).collect())
    }

    /// Into how many classes the rows and columns of an image fall that are reached by different taps of a filter with stride:
    /// as many as the stride, if the image consists of whole ones; else they are taken together.
    fn split(&self) -> [usize; 2] {
        let Filter { stride, dilation, .. } = self.filter;
        [0, 1].map(|d| if dilation[d] == 1 && self.image[2 + d].is_multiple_of(stride[d]) { stride[d] } else { 1 })
    }

    /// Channels of a group of the image, and of the result, are whole groups of four: they are read four at a time.
    fn quads(&self) -> [bool; 2] {
        [self.kernel[1] % 4 == 0, self.out_of_group() % 4 == 0]
    }

    /// Records a product for every group. `factors`: whether they are contiguous along the inner dimension, and whether four by
    /// four; with the result, whether it is written so.
    fn run(
        &self,
        name: &str,
        plan: &Plan,
        factors: [(bool, bool); 2],
        tensors: &[&Tensor],
        (out, quads): (&Tensor, bool),
        own: &str,
    ) -> Result<()> {
        let gpu = gpu_of(out)?;
        let kinds = Kind::of([tensors[0].dtype(), tensors[1].dtype()]);
        let target = Target { quads, half: out.dtype() == DType::F16 };
        let (key, constants) = self.constants();
        for first in (0..self.filter.groups).step_by(plan.most_batches(&gpu)) {
            let some = (self.filter.groups - first).min(plan.most_batches(&gpu));
            let mut launch = Kernel::new(&gpu);
            let [a, b] = [launch.read(tensors[0])?, launch.read(tensors[1])?];
            let factor = |k: usize, place: u32| {
                let (inner, quads) = factors[k];
                Factor { inner, quads: quads && place % 4 == 0, kind: kinds[k] }
            };
            let factors = [factor(0, a), factor(1, b)];
            let to = launch.write(out)?;
            let bias = tensors.get(2).map_or(Ok(0), |bias| launch.read(bias))?;
            launch.set_sizes(&[plan.rows, plan.columns, plan.inner]);
            launch.set(&[a, b, to, bias]);
            launch.set_sizes(&[self.image[1], self.result[1]]);
            launch.set_sizes(&[plan.parts, plan.part, first, self.kernel.iter().product()]);
            let with_bias = tensors.len() > 2;
            let text = || {
                let bias = match with_bias {
                    true => {
                        "@group(0) @binding(4) var<storage, read> bias: array<f32>;
fn bias_of(n: u32) -> f32 { return bias[p(6u) + n]; }\n"
                    }
                    false => "fn bias_of(n: u32) -> f32 { return 0.0; }\n",
                };
                format!("{constants}{}\n{bias}{own}", include_str!("conv.wgsl"))
            };
            let key = format!("{key} {with_bias}");
            Product { name, key: &key, factors, target, own: &text }.run(launch, &gpu, plan, some)?;
        }
        Ok(())
    }
}

/// A filter [out, in, y, x] in another order of memory; `order` says which dimension comes first, second and so on.
fn arranged(weight: &Tensor, order: [usize; 4]) -> Result<Tensor> {
    let shape: Vec<usize> = order.iter().map(|&d| weight.shape()[d]).collect();
    let view = weight.alias(weight.layout().permute(&order))?;
    let copied =
        movement_gpu::copy(&view, Layout { strides: contiguous_strides(&shape), offset: 0, ..view.layout().clone() })?;
    Ok(copied)
}

fn channels_last(shape: [usize; 4]) -> Layout {
    Layout { shape: shape.as_slice().into(), strides: Tensor::strides_for(&shape, true), offset: 0 }
}

const FORWARD: &str = "
fn cut() { set_part(part_number, p(10u), p(2u)); }
// Of the result's pixel: (first element of its image, first row and column of the image that the filter sees, inside).
fn row_a(m: u32) -> vec4<i32> {
    let at = pixel(m, RESULT_Y, RESULT_X);
    return vec4<i32>(i32(p(3u) + at.x * IMAGE_Y * IMAGE_X * p(7u) + group_number * IN), i32(at.y * STRIDE_Y) - i32(PAD_Y),
        i32(at.z * STRIDE_X) - i32(PAD_X), select(0, 1, m < p(0u)));
}
fn inner_a(k: u32) -> vec4<i32> { return vec4<i32>(tap(k, IN), select(0, 1, k < end_inner)); }
fn value_a(r: vec4<i32>, k: vec4<i32>) -> A {
    let y = r.y + k.x;
    let x = r.z + k.y;
    if ((r.w & k.w) == 0 || y < 0 || y >= i32(IMAGE_Y) || x < 0 || x >= i32(IMAGE_X)) { return A(); }
    return at_a(u32(r.x) + (u32(y) * IMAGE_X + u32(x)) * p(7u) + u32(k.z));
}
fn column_b(n: u32) -> vec2<u32> {
    return vec2<u32>(p(4u) + (group_number * OUT + n) * p(2u), select(0u, 1u, n < p(1u)));
}
fn inner_b(k: u32) -> vec2<u32> { return vec2<u32>(k, select(0u, 1u, k < end_inner)); }
fn value_b(c: vec2<u32>, k: vec2<u32>) -> B {
    if ((c.y & k.y) == 0u) { return B(); }
    return at_b(c.x + k.x);
}
fn place(m: u32, n: u32) -> u32 { return p(5u) + m * p(8u) + group_number * OUT + n; }
fn finished(n: u32, sum: f32) -> f32 { return sum + bias_of(group_number * OUT + n); }
";

/// A result of that type and shape, channels last; and what products are written into: float16 goes there by way of float32
/// where channels do not come four by four.
fn result(gpu: &Arc<Gpu>, shape: [usize; 4], dtype: DType, quads: bool) -> Result<Tensor> {
    let written = if dtype == DType::F16 && !quads { DType::F32 } else { dtype };
    kernel::output(gpu, channels_last(shape), written)
}

/// The cross-correlation of an image (channels last) with a filter, plus a bias; channels last, of the image's type.
pub fn forward(filter: Filter, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let sizes = Sizes::new(filter, x.shape(), weight.shape());
    let gpu = gpu_of(x)?;
    let [of_image, of_result] = sizes.quads();
    let out = result(&gpu, sizes.result, x.dtype(), of_result)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    if sizes.is_empty() {
        // No input channel: zeros, or the bias.
        let zeros = out.zeros_like()?;
        let plain = match bias {
            Some(bias) => crate::ops::elementwise::add(&zeros, &movement::reshape_to(bias, &[1, bias.numel(), 1, 1])?)?,
            None => zeros,
        };
        return movement::to_dtype(&plain, x.dtype());
    }
    let wide = |bias: &Tensor| movement::to_dtype(&movement::contiguous(&bias.detach()?)?, DType::F32);
    let bias = bias.map(wide).transpose()?;
    if let Some(winograd) = sizes.winograd(&gpu, [x, weight]) {
        winograd.forward(&gpu, x, weight, bias.as_ref(), &out)?;
        return Ok(out);
    }
    let weight = arranged(weight, [0, 2, 3, 1])?;
    let [batch, _, height, width] = sizes.result;
    let product = [batch * height * width, sizes.out_of_group(), sizes.taps() * sizes.kernel[1]];
    let plan = Plan::new(gpu.lanes(), product, filter.groups, false);
    let tensors: Vec<&Tensor> = [x, &weight].into_iter().chain(&bias).collect();
    sizes.run("conv", &plan, [(true, of_image); 2], &tensors, (&out, of_result), FORWARD)?;
    movement::to_dtype(&out, x.dtype())
}

const IMAGE_GRADIENT: &str = "
// A part is a class of the image's rows and columns, reached by the taps from `first_tap` on, every SPLIT-th.
var<private> class_y: u32;
var<private> class_x: u32;
var<private> first_tap: vec2<u32>;
var<private> taps_x: u32;
fn cut() {
    class_y = part_number / SPLIT_X;
    class_x = part_number % SPLIT_X;
    first_tap = vec2<u32>((class_y + PAD_Y) % SPLIT_Y, (class_x + PAD_X) % SPLIT_X);
    let taps_y = (KERNEL_Y + SPLIT_Y - 1u - first_tap.x) / SPLIT_Y;
    taps_x = (KERNEL_X + SPLIT_X - 1u - first_tap.y) / SPLIT_X;
    set_part(0u, taps_y * taps_x * OUT, taps_y * taps_x * OUT);
    taps_x = max(taps_x, 1u);
}
// Row and column of the tap in the filter.
fn tap_of(k: u32) -> vec2<u32> {
    let t = k / OUT;
    if (SPLIT_X == 1u) { return first_tap + vec2<u32>(t / KERNEL_X * SPLIT_Y, t % KERNEL_X); }
    return first_tap + vec2<u32>(t / taps_x * SPLIT_Y, t % taps_x * SPLIT_X);
}
// The image's pixel: (image, row, column).
fn pixel_of(m: u32) -> vec3<u32> {
    let at = pixel(m, IMAGE_Y / SPLIT_Y, IMAGE_X / SPLIT_X);
    return vec3<u32>(at.x, at.y * SPLIT_Y + class_y, at.z * SPLIT_X + class_x);
}
// Of the image's pixel: (first element of its result, its row and column with the padding, inside).
fn row_a(m: u32) -> vec4<i32> {
    let at = pixel_of(m);
    return vec4<i32>(i32(p(3u) + at.x * RESULT_Y * RESULT_X * p(8u) + group_number * OUT), i32(at.y + PAD_Y), i32(at.z + PAD_X),
        select(0, 1, m < p(0u)));
}
fn inner_a(k: u32) -> vec4<i32> {
    let tap = vec2<i32>(tap_of(k) * vec2<u32>(DILATION_Y, DILATION_X));
    return vec4<i32>(tap, i32(k % OUT), select(0, 1, k < end_inner));
}
fn value_a(r: vec4<i32>, k: vec4<i32>) -> A {
    let down = r.y - k.x;
    let right = r.z - k.y;
    // What is negative becomes large.
    let y = u32(down) / STRIDE_Y;
    let x = u32(right) / STRIDE_X;
    let hit = y * STRIDE_Y == u32(down) && x * STRIDE_X == u32(right);
    if ((r.w & k.w) == 0 || !hit || y >= RESULT_Y || x >= RESULT_X) { return A(); }
    return at_a(u32(r.x) + (y * RESULT_X + x) * p(8u) + u32(k.z));
}
fn column_b(n: u32) -> vec2<u32> { return vec2<u32>(p(4u) + n, select(0u, 1u, n < p(1u))); }
// b is [tap, out, in of a group]; the inner dimension counts taps and the outs of this group.
fn inner_b(k: u32) -> vec2<u32> {
    let tap = tap_of(k);
    return vec2<u32>(((tap.x * KERNEL_X + tap.y) * p(8u) + group_number * OUT + k % OUT) * IN, select(0u, 1u, k < end_inner));
}
fn value_b(c: vec2<u32>, k: vec2<u32>) -> B {
    if ((c.y & k.y) == 0u) { return B(); }
    return at_b(c.x + k.x);
}
fn place(m: u32, n: u32) -> u32 {
    let at = pixel_of(m);
    return p(5u) + ((at.x * IMAGE_Y + at.y) * IMAGE_X + at.z) * p(7u) + group_number * IN + n;
}
fn finished(n: u32, sum: f32) -> f32 { return sum; }
";

/// The gradient of the image, of that height, width and type, from that of the result (channels last); channels last.
pub fn image_gradient(filter: Filter, dy: &Tensor, weight: &Tensor, size: [usize; 2], dtype: DType) -> Result<Tensor> {
    let shape = [dy.shape()[0], weight.shape()[1] * filter.groups, size[0], size[1]];
    let mut sizes = Sizes::new(filter, &shape, weight.shape());
    sizes.result = [dy.shape()[0], dy.shape()[1], dy.shape()[2], dy.shape()[3]];
    let gpu = gpu_of(dy)?;
    let [of_image, of_result] = sizes.quads();
    let out = result(&gpu, shape, dtype, of_image)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    if sizes.is_empty() {
        return movement::to_dtype(&out.zeros_like()?, dtype);
    }
    if let Some(winograd) = sizes.winograd(&gpu, [dy, weight]) {
        winograd.image_gradient(&gpu, dy, weight, &out)?;
        return Ok(out);
    }
    let weight = arranged(weight, [2, 3, 0, 1])?;
    let classes: usize = sizes.split().iter().product();
    let pixels = shape[0] * shape[2] * shape[3] / classes;
    let product = [pixels, sizes.kernel[1], sizes.taps() * sizes.out_of_group()];
    let mut plan = Plan::new(gpu.lanes(), product, filter.groups, false);
    plan.parts = classes;
    let factors = [(true, of_result), (false, of_image)];
    sizes.run("conv image", &plan, factors, &[dy, &weight], (&out, of_image), IMAGE_GRADIENT)?;
    movement::to_dtype(&out, dtype)
}

const FILTER_GRADIENT: &str = "
fn cut() { set_part(part_number, p(10u), p(2u)); }
fn row_a(m: u32) -> vec2<u32> { return vec2<u32>(p(3u) + group_number * OUT + m, select(0u, 1u, m < p(0u))); }
fn inner_a(k: u32) -> vec2<u32> { return vec2<u32>(k * p(8u), select(0u, 1u, k < end_inner)); }
fn value_a(r: vec2<u32>, k: vec2<u32>) -> A {
    if ((r.y & k.y) == 0u) { return A(); }
    return at_a(r.x + k.x);
}
// (down, right, channel) of the tap, less the padding.
fn column_b(n: u32) -> vec4<i32> {
    return vec4<i32>(tap(n, IN), select(0, 1, n < p(1u))) - vec4<i32>(i32(PAD_Y), i32(PAD_X), 0, 0);
}
// Of the result's pixel: (first element of the image, row and column where the filter begins, inside).
fn inner_b(k: u32) -> vec4<i32> {
    let at = pixel(k, RESULT_Y, RESULT_X);
    return vec4<i32>(i32(p(4u) + at.x * IMAGE_Y * IMAGE_X * p(7u) + group_number * IN), i32(at.y * STRIDE_Y),
        i32(at.z * STRIDE_X), select(0, 1, k < end_inner));
}
fn value_b(c: vec4<i32>, k: vec4<i32>) -> B {
    let y = k.y + c.x;
    let x = k.z + c.y;
    if ((c.w & k.w) == 0 || y < 0 || y >= i32(IMAGE_Y) || x < 0 || x >= i32(IMAGE_X)) { return B(); }
    return at_b(u32(k.x) + (u32(y) * IMAGE_X + u32(x)) * p(7u) + u32(c.z));
}
// In the order of the filter: [out, in of a group, tap].
fn place(m: u32, n: u32) -> u32 {
    return p(5u) + part_number * p(12u) + ((group_number * OUT + m) * IN + n % IN) * (p(1u) / IN) + n / IN;
}
fn finished(n: u32, sum: f32) -> f32 { return sum; }
";

/// The gradient of a filter of that shape from image and gradient of the result (both channels last); row-major. What
/// is summed, all pixels of the batch, is long: it is cut into parts that are added up. float32 whatever the others are.
pub fn filter_gradient(filter: Filter, x: &Tensor, dy: &Tensor, shape: [usize; 4]) -> Result<Tensor> {
    let mut sizes = Sizes::new(filter, x.shape(), &shape);
    sizes.result = [dy.shape()[0], dy.shape()[1], dy.shape()[2], dy.shape()[3]];
    let gpu = gpu_of(x)?;
    if sizes.is_empty() {
        return Tensor::full_on(&x.device()?, &shape, 0.0, DType::F32);
    }
    if let Some(winograd) = sizes.winograd(&gpu, [x, dy]).filter(|_| x.dtype() == dy.dtype()) {
        return winograd.filter_gradient(&gpu, x, dy);
    }
    let [batch, _, height, width] = sizes.result;
    let product = [sizes.out_of_group(), sizes.taps() * sizes.kernel[1], batch * height * width];
    let plan = Plan::new(gpu.lanes(), product, filter.groups, true);
    let whole = [&[plan.parts][..], &shape].concat();
    let out = kernel::output_of(&gpu, if plan.parts == 1 { &shape } else { &whole }, DType::F32)?;
    let [of_image, of_result] = sizes.quads();
    let factors = [(false, of_result), (false, of_image)];
    sizes.run("conv filter", &plan, factors, &[dy, x], (&out, false), FILTER_GRADIENT)?;
    if plan.parts == 1 {
        return Ok(out);
    }
    reduce_gpu::fold(&reduce_gpu::SUM, &out, &[0])?.alias(Layout::contiguous(&shape))
}
