//! 3×3 convolution of stride 1 on a GPU by Winograd's F(4×4, 3×3), with the CPU's points of interpolation and so with its
//! error (`cpu/winograd.rs` has the source): transforms to 36 places of a tile, for each place a product of matrices, and back.
//! Channels last; float32, and float16 to and from float32 on the way. Batches go in parts, so that no transformed image exceeds what a kernel may bind.

use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::conv_product::Filter;
use crate::ops::kernel::{self, Kernel};
use crate::ops::product_gpu::Kind;
use crate::ops::{elementwise, matmul_gpu};
use crate::shape::Layout;
use crate::tensor::Tensor;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

/// Outputs of a tile along an axis; places of a transformed tile.
const OUT: usize = 4;
const PLACES: usize = 36;
/// Bytes of a part of the batch after its transform, at most.
const PART: u64 = 64 << 20;

/// The points of interpolation beside 0 and ∞, with both signs: √½ and √2.
const P: f32 = std::f32::consts::FRAC_1_SQRT_2;
const Q: f32 = std::f32::consts::SQRT_2;

/// Bᵀ: six inputs of a line to six places.
const INPUT: [[f32; 6]; 6] = [
    [1.0, 0.0, -2.5, 0.0, 1.0, 0.0],
    [0.0, -2.0 * P, -2.0, P, 1.0, 0.0],
    [0.0, 2.0 * P, -2.0, -P, 1.0, 0.0],
    [0.0, -0.5 * Q, -0.5, Q, 1.0, 0.0],
    [0.0, 0.5 * Q, -0.5, -Q, 1.0, 0.0],
    [0.0, 1.0, 0.0, -2.5, 0.0, 1.0],
];
/// Aᵀ: six places of a line to four outputs.
const OUTPUT: [[f32; 6]; 4] = [
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
    [0.0, P, -P, Q, -Q, 0.0],
    [0.0, 0.5, 0.5, 2.0, 2.0, 0.0],
    [0.0, 0.5 * P, -0.5 * P, 2.0 * Q, -2.0 * Q, 1.0],
];
/// G: three taps of a line to six places.
const TAPS: [[f32; 3]; 6] = [
    [1.0, 0.0, 0.0],
    [-2.0 / 3.0, -2.0 / 3.0 * P, -1.0 / 3.0],
    [-2.0 / 3.0, 2.0 / 3.0 * P, -1.0 / 3.0],
    [1.0 / 6.0, Q / 6.0, 1.0 / 3.0],
    [1.0 / 6.0, -Q / 6.0, 1.0 / 3.0],
    [0.0, 0.0, 1.0],
];

/// What is brought to the places of a tile.
#[derive(Debug, Clone, Copy)]
enum Squares {
    /// The inputs that it sees, by Bᵀ from both sides.
    Seen,
    /// The gradients of its outputs, by A.
    Made,
}

impl Squares {
    fn matrix(self) -> Vec<Vec<f32>> {
        match self {
            Squares::Seen => rows(INPUT),
            Squares::Made => transposed(&rows(OUTPUT)),
        }
    }
}

/// A 3×3 convolution of stride 1 between two images, in either direction.
#[derive(Debug, Clone, Copy)]
pub struct Winograd {
    batch: usize,
    /// Height, width and channels of the image that is read, and zeros around it.
    source: [usize; 2],
    channels: usize,
    padding: [usize; 2],
    /// Height, width and channels of the image that is written.
    target: [usize; 2],
    columns: usize,
}

impl Winograd {
    /// From an image to its cross-correlation with a filter, both shapes [batch, channels, height, width]; None where this is no
    /// such convolution, or does not pay.
    pub fn new(gpu: &Gpu, filter: Filter, image: &[usize], result: &[usize], kernel: &[usize]) -> Option<Winograd> {
        let Filter { stride, padding, dilation, groups } = filter;
        let fits = kernel[2..] == [3, 3] && stride == [1, 1] && dilation == [1, 1] && groups == 1;
        let winograd = Winograd {
            batch: image[0],
            source: [image[2], image[3]],
            channels: image[1],
            padding,
            target: [result[2], result[3]],
            columns: result[1],
        };
        (fits && padding.into_iter().all(|p| p <= 2) && winograd.pays(gpu)).then_some(winograd)
    }

    /// The way from the gradient of the result to that of the image: the filter lies backwards.
    fn backwards(&self) -> Winograd {
        Winograd {
            source: self.target,
            channels: self.columns,
            padding: self.padding.map(|p| 2 - p),
            target: self.source,
            columns: self.channels,
            ..*self
        }
    }

    /// Enough channels to pay for the transforms, enough tiles to pay for the filter's, and not too much of them outside.
    fn pays(&self, gpu: &Gpu) -> bool {
        let tiles = self.batch * self.tiles();
        let pixels = self.batch * self.target[0] * self.target[1];
        let [few, many] = [self.channels.min(self.columns), self.channels.max(self.columns)];
        few >= 32
            && many <= 4096
            && self.channels.is_multiple_of(4)
            && self.columns.is_multiple_of(4)
            && tiles >= 32
            && tiles * PLACES * 3 <= pixels * 9 * 2
            && self.images(gpu).min(self.backwards().images(gpu)) > 0
            && (PLACES * self.channels * self.columns * 4) as u64 <= gpu.limits().binding
    }

    /// Tiles down and across.
    fn grid(&self) -> [usize; 2] {
        self.target.map(|size| size.div_ceil(OUT))
    }

    /// Of an image.
    fn tiles(&self) -> usize {
        self.grid().iter().product()
    }

    /// Images of a part of the batch.
    fn images(&self, gpu: &Gpu) -> usize {
        let image = PLACES * self.tiles() * self.channels.max(self.columns) * 4;
        (gpu.limits().binding.min(PART) / image as u64) as usize
    }

    /// The batch in parts.
    fn parts(&self, gpu: &Gpu) -> impl Iterator<Item = Range<usize>> {
        let (batch, step) = (self.batch, self.images(gpu));
        (0..batch).step_by(step).map(move |first| first..batch.min(first + step))
    }

    /// Writes the cross-correlation of `x` with `weight` (its gradient for the image if `backwards`: `x` is the result's then), plus
    /// `bias`, to `out`. Both images lie channels last, the weight in any order.
    fn correlate(
        &self,
        gpu: &Arc<Gpu>,
        x: &Tensor,
        weight: &Tensor,
        backwards: bool,
        bias: Option<&Tensor>,
        out: &Tensor,
    ) -> Result<()> {
        let filters = filters(gpu, weight, backwards, x.dtype())?;
        for images in self.parts(gpu) {
            let there = self.gather(gpu, x, images.clone(), Squares::Seen)?;
            let products = matmul_gpu::matmul(&there, &filters, None, DType::F32)?;
            self.scatter(gpu, &products, bias, out, images)?;
        }
        Ok(())
    }

    pub fn forward(
        &self,
        gpu: &Arc<Gpu>,
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        out: &Tensor,
    ) -> Result<()> {
        self.correlate(gpu, x, weight, false, bias, out)
    }

    pub fn image_gradient(&self, gpu: &Arc<Gpu>, dy: &Tensor, weight: &Tensor, out: &Tensor) -> Result<()> {
        self.backwards().correlate(gpu, dy, weight, true, None, out)
    }

    /// The gradient of the filter, [out, in, 3, 3], row-major.
    pub fn filter_gradient(&self, gpu: &Arc<Gpu>, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for images in self.parts(gpu) {
            let seen = self.gather(gpu, x, images.clone(), Squares::Seen)?;
            let made = self.gather(gpu, dy, images, Squares::Made)?;
            let part = matmul_gpu::matmul(&seen.transpose(1, 2)?, &made, None, DType::F32)?;
            sum = Some(match sum {
                Some(sum) => elementwise::add(&sum, &part)?,
                None => part,
            });
        }
        let sum = sum.expect("a batch that pays is not empty");
        let out = kernel::output_of(gpu, &[self.columns, self.channels, 3, 3], DType::F32)?;
        let mut launch = Kernel::new(gpu);
        let [from, to] = [launch.read(&sum)?, launch.write(&out)?];
        let count = self.channels * self.columns;
        launch.set_sizes(&[count, self.columns, self.channels]);
        launch.set(&[from, to]);
        launch.run_each("winograd filter gradient", &filter_gradient_wgsl, count)?;
        Ok(out)
    }

    /// Squares of some images at their places: [36, tiles, channels]. They begin every four pixels, what is seen `padding` before
    /// the image.
    fn gather(&self, gpu: &Arc<Gpu>, x: &Tensor, images: Range<usize>, squares: Squares) -> Result<Tensor> {
        let ([height, width], padding) = match squares {
            Squares::Seen => (self.source, self.padding),
            Squares::Made => (self.target, [0, 0]),
        };
        let channels = x.shape()[1];
        let tiles = images.len() * self.tiles();
        let out = kernel::output_of(gpu, &[PLACES, tiles, channels], DType::F32)?;
        let mut launch = Kernel::new(gpu);
        let from = launch.bind(x, &some(x, images), false)?;
        let to = launch.write(&out)?;
        let [down, across] = self.grid();
        launch.set_sizes(&[tiles * channels / 4, channels / 4, height, width, down, across]);
        launch.set_sizes(&[padding[0], padding[1], from as usize / 4, to as usize / 4]);
        let (key, dtype) = (format!("winograd gather {squares:?} {:?}", x.dtype()), x.dtype());
        launch.run_each(&key, &|| gather_wgsl(squares, dtype), tiles * channels / 4)?;
        Ok(out)
    }

    /// From products [36, tiles, channels] to some images of `out`.
    fn scatter(
        &self,
        gpu: &Arc<Gpu>,
        products: &Tensor,
        bias: Option<&Tensor>,
        out: &Tensor,
        images: Range<usize>,
    ) -> Result<()> {
        let count = images.len() * self.tiles() * self.columns / 4;
        let mut launch = Kernel::new(gpu);
        let from = launch.read(products)?;
        let to = launch.bind(out, &some(out, images), true)?;
        let at_bias = bias.map_or(Ok(0), |bias| launch.read(bias))?;
        let [down, across] = self.grid();
        launch.set_sizes(&[count, self.columns / 4, self.target[0], self.target[1], down, across]);
        launch.set(&[from / 4, to / 4, at_bias]);
        let (with_bias, dtype) = (bias.is_some(), out.dtype());
        launch.run_each(&format!("winograd scatter {with_bias} {dtype:?}"), &|| scatter_wgsl(with_bias, dtype), count)
    }
}

/// The layout of some images of a batch.
fn some(images: &Tensor, range: Range<usize>) -> Layout {
    let mut layout = images.layout().clone();
    layout.offset += range.start * layout.strides[0];
    layout.shape[0] = range.len();
    layout
}

/// A filter [out, in, 3, 3] at its places: [36, in, out], or [36, out, in] of the filter backwards. Beside a float16 image it is
/// rounded to that.
fn filters(gpu: &Arc<Gpu>, weight: &Tensor, backwards: bool, image: DType) -> Result<Tensor> {
    let [from, to] = if backwards { [0, 1] } else { [1, 0] };
    let [rows, columns] = [weight.shape()[from], weight.shape()[to]];
    let out = kernel::output_of(gpu, &[PLACES, rows, columns], DType::F32)?;
    let mut launch = Kernel::new(gpu);
    let [at, place] = [launch.read(weight)?, launch.write(&out)?];
    let strides = weight.strides();
    launch.set_sizes(&[rows * columns, columns, strides[from], strides[to], strides[2], strides[3]]);
    launch.set(&[at, place]);
    let kind = Kind::of([weight.dtype(), image])[0];
    let key = format!("winograd filter {backwards} {kind:?}");
    launch.run_each(&key, &|| filter_wgsl(backwards, kind), rows * columns)?;
    Ok(out)
}

fn rows<const ROWS: usize, const COLUMNS: usize>(matrix: [[f32; COLUMNS]; ROWS]) -> Vec<Vec<f32>> {
    matrix.map(Vec::from).into()
}

fn transposed(matrix: &[Vec<f32>]) -> Vec<Vec<f32>> {
    (0..matrix[0].len()).map(|column| matrix.iter().map(|row| row[column]).collect()).collect()
}

/// Σ factors · names, as WGSL.
fn sum(factors: &[f32], name: impl Fn(usize) -> String) -> String {
    let term = |(i, &factor): (usize, &f32)| match factor {
        0.0 => None,
        1.0 => Some(name(i)),
        _ => Some(format!("({factor:?}) * {}", name(i))),
    };
    factors.iter().enumerate().filter_map(term).collect::<Vec<_>>().join(" + ")
}

/// WGSL of matrix · x · matrixᵀ: `read(i, j)` is an expression for x, `write(i, j, value)` a statement.
fn both_sides(
    matrix: &[Vec<f32>],
    read: impl Fn(usize, usize) -> String,
    write: impl Fn(usize, usize, String) -> String,
) -> String {
    let (to, from) = (matrix.len(), matrix[0].len());
    let mut text = String::new();
    for j in 0..from {
        for i in 0..from {
            writeln!(text, "let x{i}{j} = {};", read(i, j)).expect("text");
        }
        for k in 0..to {
            writeln!(text, "let t{k}{j} = {};", sum(&matrix[k], |i| format!("x{i}{j}"))).expect("text");
        }
    }
    for k in 0..to {
        for l in 0..to {
            text += &write(k, l, sum(&matrix[l], |j| format!("t{k}{j}")));
        }
    }
    text
}

/// Which four channels of which tile an invocation has.
const WHERE: &str = "if (i >= p(0u)) { return; }
let q = i % p(1u);
let tile = i / p(1u);
let line = tile / p(5u);
let image = line / p(4u);
let corner = vec2<u32>(line % p(4u), tile % p(5u)) * 4u;
";

/// p: 0 tiles · quads, 1 quads of channels, 2 height, 3 width, 4 tiles down, 5 across, 6 and 7 padding, 8 first quad of a, 9 of out.
fn gather_wgsl(squares: Squares, dtype: DType) -> String {
    let read = |i, j| format!("at(image, corner + vec2<u32>({i}u, {j}u), q)");
    let write = |k, l, value| format!("out[p(9u) + {}u * p(0u) + i] = {value};\n", k * 6 + l);
    format!(
        "@group(0) @binding(1) var<storage, read> a: array<{quad}>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;
// What is negative becomes large.
fn at(image: u32, place: vec2<u32>, q: u32) -> vec4<f32> {{
    let y = place.x - p(6u);
    let x = place.y - p(7u);
    if (y >= p(2u) || x >= p(3u)) {{ return vec4<f32>(); }}
    let i = (p(8u) + ((image * p(2u) + y) * p(3u) + x) * p(1u) + q) * 4u;
    return {load};
}}
fn each(i: u32) {{
{WHERE}{}}}\n",
        both_sides(&squares.matrix(), read, write),
        quad = kernel::quad(dtype),
        load = kernel::load_quad(dtype, "a", "i")
    )
}

/// p: as of `gather_wgsl` up to 5, 6 first quad of a, 7 of out, 8 first element of the bias.
fn scatter_wgsl(with_bias: bool, dtype: DType) -> String {
    let read = |k: usize, l: usize| format!("a[p(6u) + {}u * p(0u) + i]", k * 6 + l);
    let write = |i, j, value| format!("put(image, corner + vec2<u32>({i}u, {j}u), q, {value} + bias);\n");
    let (binding, bias) = match with_bias {
        true => (
            "@group(0) @binding(3) var<storage, read> b: array<f32>;\n",
            "let c = p(8u) + 4u * q;\nlet bias = vec4<f32>(b[c], b[c + 1u], b[c + 2u], b[c + 3u]);\n",
        ),
        false => ("", "let bias = vec4<f32>();\n"),
    };
    format!(
        "@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<{quad}>;
{binding}fn put(image: u32, place: vec2<u32>, q: u32, value: vec4<f32>) {{
    if (place.x >= p(2u) || place.y >= p(3u)) {{ return; }}
    out[p(7u) + ((image * p(2u) + place.x) * p(3u) + place.y) * p(1u) + q] = {stored};
}}
fn each(i: u32) {{
{WHERE}{bias}{}}}\n",
        both_sides(&rows(OUTPUT), read, write),
        quad = kernel::quad(dtype),
        stored = kernel::quad_of(dtype, ["value.x", "value.y", "value.z", "value.w"].map(String::from))
    )
}

/// p: 0 rows · columns, 1 columns, 2 to 5 strides of the filter along rows, columns, down and across, 6 its first element, 7 of out.
fn filter_wgsl(backwards: bool, kind: Kind) -> String {
    let tap = |i: usize| if backwards { 2 - i } else { i };
    let read = |i, j| kind.load("a", &format!("first + {}u * p(4u) + {}u * p(5u)", tap(i), tap(j)));
    let write = |k, l, value| format!("out[p(7u) + {}u * p(0u) + i] = {value};\n", k * 6 + l);
    format!(
        "@group(0) @binding(1) var<storage, read> a: array<{}>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
fn each(i: u32) {{
if (i >= p(0u)) {{ return; }}
let first = p(6u) + i / p(1u) * p(2u) + i % p(1u) * p(3u);
{}}}\n",
        kernel::element(kind.dtype()),
        both_sides(&rows(TAPS), read, write)
    )
}

/// p: 0 in · out, 1 out, 2 in, 3 first element of a, 4 of out.
fn filter_gradient_wgsl() -> String {
    let read = |k: usize, l: usize| format!("a[p(3u) + {}u * p(0u) + i]", k * 6 + l);
    let write = |i, j, value| format!("out[first + {}u] = {value};\n", i * 3 + j);
    format!(
        "@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
fn each(i: u32) {{
if (i >= p(0u)) {{ return; }}
let first = p(4u) + (i % p(1u) * p(2u) + i / p(1u)) * 9u;
{}}}\n",
        both_sides(&transposed(&rows(TAPS)), read, write)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrices_are_a_correlation() {
        let product = |matrix: &[Vec<f32>], x: &[f64]| -> Vec<f64> {
            matrix.iter().map(|row| row.iter().zip(x).map(|(&a, b)| f64::from(a) * b).sum()).collect()
        };
        for (d, t) in (0..6).flat_map(|d| (0..3).map(move |t| (d, t))) {
            // One input and one tap that are 1.
            let one = |n: usize, at: usize| -> Vec<f64> { (0..n).map(|i| f64::from(u8::from(i == at))).collect() };
            let there = product(&rows(INPUT), &one(6, d));
            let taps = product(&rows(TAPS), &one(3, t));
            let both: Vec<f64> = there.iter().zip(&taps).map(|(a, b)| a * b).collect();
            for (o, found) in product(&rows(OUTPUT), &both).into_iter().enumerate() {
                let expected = f64::from(u8::from(o + t == d));
                assert!((found - expected).abs() < 1e-6, "input {d}, tap {t}, output {o}: {found}");
            }
        }
    }

    #[test]
    fn it_is_for_many_channels_many_tiles_and_filters_of_three_by_three() {
        let Some(gpu) = crate::gpu::tests::device() else { return };
        let plain = Filter { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
        let taken = |filter: Filter, [batch, from, to, side]: [usize; 4], taps: usize| {
            let kernel = [to, from / filter.groups, taps, taps];
            let result = (side + 2 * filter.padding[0] - taps) / filter.stride[0] + 1;
            Winograd::new(&gpu, filter, &[batch, from, side, side], &[batch, to, result, result], &kernel).is_some()
        };
        for sizes in [[64, 64, 64, 32], [8, 256, 256, 8], [2, 32, 36, 18]] {
            assert!(taken(plain, sizes, 3), "{sizes:?}");
        }
        // Few channels, channels that are no quads, few tiles, tiles that lie outside for the most part.
        for sizes in [[64, 3, 64, 32], [8, 62, 64, 32], [1, 64, 64, 16], [64, 64, 64, 1]] {
            assert!(!taken(plain, sizes, 3), "{sizes:?}");
        }
        let sizes = [64, 64, 64, 32];
        assert!(!taken(Filter { stride: [2, 2], ..plain }, sizes, 3));
        assert!(!taken(Filter { dilation: [2, 2], ..plain }, sizes, 3));
        assert!(!taken(Filter { groups: 2, ..plain }, sizes, 3));
        assert!(!taken(Filter { padding: [3, 3], ..plain }, sizes, 3));
        assert!(!taken(plain, sizes, 5));
    }

    #[test]
    fn every_kernel_is_valid_without_a_driver() {
        let texts = [DType::F32, DType::F16].into_iter().flat_map(|dtype| {
            let gathers = [Squares::Seen, Squares::Made].map(|squares| gather_wgsl(squares, dtype));
            gathers.into_iter().chain([true, false].map(|bias| scatter_wgsl(bias, dtype)))
        });
        let filters = [Kind::Float, Kind::Half, Kind::Rounded].map(|kind| [true, false].map(|b| filter_wgsl(b, kind)));
        for text in texts.chain(filters.into_iter().flatten()).chain([filter_gradient_wgsl()]) {
            kernel::validation::check("winograd", &text);
        }
    }
}
