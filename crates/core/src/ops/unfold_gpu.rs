//! Columns added up to images on a GPU: an invocation a pixel, which gathers from the windows that see it.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::unfold::Windows;
use crate::tensor::Tensor;

const TEXT: &str = "@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
// p: 0 pixels, 1, 2 places, 3, 4 rows and columns of the image, 5, 6 of windows, 7, 8 kernel, 9, 10 stride, 11, 12 padding,
// 13, 14 dilation, 15 channels, 16, 17, 18 strides of the columns.
fn each(i: u32) {
    if (i >= p(0u)) { return; }
    let right = i % p(4u) + p(12u);
    let down = i / p(4u) % p(3u) + p(11u);
    let plane = i / p(4u) / p(3u);
    let start = p(1u) + plane / p(15u) * p(16u) + plane % p(15u) * p(7u) * p(8u) * p(17u);
    var sum = 0.0;
    for (var a = 0u; a < p(7u); a += 1u) {
        let y = down - a * p(13u);
        let row = y / p(9u);
        if (a * p(13u) > down || y % p(9u) != 0u || row >= p(5u)) { continue; }
        for (var b = 0u; b < p(8u); b += 1u) {
            let x_place = right - b * p(14u);
            let column = x_place / p(10u);
            if (b * p(14u) > right || x_place % p(10u) != 0u || column >= p(6u)) { continue; }
            sum += x[start + (a * p(8u) + b) * p(17u) + (row * p(6u) + column) * p(18u)];
        }
    }
    out[p(2u) + i] = sum;
}
";

/// Columns [B, C·kernel, windows] as images of that shape; `count` windows along each side.
pub fn fold(x: &Tensor, shape: [usize; 4], count: [usize; 2], windows: &Windows) -> Result<Tensor> {
    let gpu = gpu_of(x)?;
    let out = kernel::output_of(&gpu, &shape, DType::F32)?;
    if out.numel() == 0 {
        return Ok(out);
    }
    let mut launch = Kernel::new(&gpu);
    let places = [launch.read(x)?, launch.write(&out)?];
    launch.set_sizes(&[out.numel()]);
    launch.set(&places);
    launch.set_sizes(&[shape[2], shape[3], count[0], count[1]]);
    for pair in [windows.kernel, windows.stride, windows.padding, windows.dilation] {
        launch.set_sizes(&pair);
    }
    launch.set_sizes(&[shape[1], x.strides()[0], x.strides()[1], x.strides()[2]]);
    launch.run_each("fold columns", &|| TEXT.to_string(), out.numel())?;
    Ok(out)
}
