//! Augmentation of a batch on a GPU: what was drawn for its images goes there as small tables, and each step, or several that
//! look at single pixels, is a few dispatches for all images, whatever their number. Nothing is read back.

use super::augment::Drawn;
use super::augment_launch_gpu::{HEAD, PLACE, Stage, parts, window};
use super::augment_wgsl::*;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::image::blur::{box_weights, check_blur, gaussian_kernel};
use crate::image::color::PixelOp;
use crate::image::geometry::{Padding, places};
use crate::image::noise::visible_patches;
use crate::image::operation::Operation;
use crate::image::record::Extent;
use crate::image::resample::{Interpolation, Window};
use crate::image::step::Step;
use crate::image::warp::{Map, Warp, inverse_affine};
use crate::ops::elementwise_gpu::MATH;
use crate::ops::kernel::{self, Kernel, gpu_of};
use crate::ops::movement;
use crate::ops::random_gpu::PHILOX;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use std::sync::Arc;

/// Images [batch, channel, height, width] after the steps, each of extent `left`; `drawn` has the operations of each image.
pub(super) fn run(images: &Tensor, steps: &[Step], drawn: &[Drawn], left: Extent) -> Result<Tensor> {
    if drawn.is_empty() {
        return kernel::output_of(&gpu_of(images)?, &[0, left.channels, left.height, left.width], DType::F32);
    }
    let mut canvas = Canvas {
        gpu: gpu_of(images)?,
        images: ordered(images)?,
        programs: vec![Vec::new(); drawn.len()],
        contrast: false,
    };
    for (number, step) in steps.iter().enumerate() {
        let operations: Vec<&[Operation]> = drawn.iter().map(|own| &own[number][..]).collect();
        canvas.step(step, &operations)?;
    }
    canvas.flush()?;
    // Where nothing was drawn to be done.
    let untouched = Arc::ptr_eq(&canvas.images.storage()?, &images.storage()?);
    if untouched { movement::copy(images) } else { Ok(canvas.images) }
}

/// Images one after the other in memory, so that some of them are a window.
fn ordered(images: &Tensor) -> Result<Tensor> {
    let strides = images.strides();
    if strides[1..].iter().any(|&stride| stride > strides[0]) { movement::contiguous(images) } else { images.detach() }
}

/// An instruction of `augment.wgsl`.
type Instruction = [u32; 8];

const INSTRUCTIONS: [&str; 11] = [
    "BRIGHTNESS",
    "CONTRAST",
    "SATURATION",
    "HUE",
    "GREY",
    "SOLARIZE",
    "INVERT",
    "POSTERIZE",
    "NORMALIZE",
    "PERMUTE",
    "ERASE",
];

fn instruction(name: &str, words: &[u32]) -> Instruction {
    let code = INSTRUCTIONS.iter().position(|known| *known == name).expect("one of the list");
    let mut all = [0; 8];
    all[0] = code as u32;
    all[1..=words.len()].copy_from_slice(words);
    all
}

fn floats<const N: usize>(values: [f32; N]) -> [u32; N] {
    values.map(f32::to_bits)
}

fn numbers(Window { top, left, height, width }: Window) -> [u32; 4] {
    [top, left, height, width].map(|number| number as u32)
}

struct Canvas {
    gpu: Arc<Gpu>,
    images: Tensor,
    /// Changes of single pixels that wait to be done in one pass, of each image.
    programs: Vec<Vec<Instruction>>,
    /// Whether one of them is a contrast: it needs the mean of what the others have made of the image.
    contrast: bool,
}

impl Canvas {
    fn extent(&self) -> Extent {
        let shape = self.images.shape();
        Extent { channels: shape[1], height: shape[2], width: shape[3] }
    }

    /// One step; images for which `operations` has none are left as they are.
    fn step(&mut self, step: &Step, operations: &[&[Operation]]) -> Result<()> {
        let Some(&first) = operations.iter().find_map(|own| own.first()) else { return Ok(()) };
        match first {
            Operation::Pixel(PixelOp::ToFloats) => Ok(()),
            Operation::Pixel(PixelOp::ToGrey) => {
                if self.extent().channels == 3 {
                    self.programs.iter_mut().for_each(|program| program.push(instruction("GREY", &[])));
                }
                self.pixels(1)
            }
            Operation::Pixel(PixelOp::ToRgb) => {
                self.flush()?;
                self.pixels(3)
            }
            Operation::Pixel(_) | Operation::Contrast(_) | Operation::Erase { .. } | Operation::PermuteChannels(_) => {
                self.add(step, operations)
            }
            _ => {
                self.flush()?;
                let own: Vec<Option<Operation>> = operations.iter().map(|own| own.first().copied()).collect();
                match first {
                    Operation::Resize { height, width, interpolation, antialias, .. } => {
                        self.resize(&own, (height, width), interpolation, antialias)
                    }
                    Operation::Blur { size, .. } => self.blur(&own, size),
                    Operation::Sharpen(_) => self.sharpen(&own),
                    Operation::Autocontrast => self.levels(&own, "autocontrast", [RANGE, STRETCH], 1, 6),
                    Operation::Equalize => {
                        let channels = self.extent().channels;
                        self.levels(&own, "equalize", [HISTOGRAM, SPREAD], channels, 256 * channels)
                    }
                    Operation::Crop { .. } | Operation::FlipHorizontal | Operation::FlipVertical => self.cut(&own),
                    Operation::RotateQuarters(_)
                        if own.iter().all(|one| matches!(one, Some(Operation::RotateQuarters(_)))) =>
                    {
                        self.cut(&own)
                    }
                    Operation::Warp(_) | Operation::RotateQuarters(_) => self.warp(&own),
                    Operation::BoxBlur(_) => self.box_blur(&own),
                    Operation::Noise { .. } | Operation::EraseWithNoise { .. } => self.noise(&own),
                    Operation::HidePatches { side, value, .. } => self.hide(&own, side, value),
                    _ => unsupported(step),
                }
            }
        }
    }

    /// Appends to the programs of the images.
    fn add(&mut self, step: &Step, operations: &[&[Operation]]) -> Result<()> {
        let contrast = operations.iter().any(|own| own.iter().any(|one| matches!(one, Operation::Contrast(_))));
        if contrast && self.contrast {
            self.flush()?;
        }
        self.contrast |= contrast;
        let color = self.extent().channels == 3;
        for (program, own) in self.programs.iter_mut().zip(operations) {
            for operation in *own {
                let blend = |factor: f64| floats([factor as f32, (1.0 - factor) as f32]);
                program.push(match *operation {
                    Operation::Contrast(factor) => instruction("CONTRAST", &blend(factor)),
                    Operation::Pixel(PixelOp::Brightness(factor)) => instruction("BRIGHTNESS", &floats([factor])),
                    // A grey image has neither hue nor saturation.
                    Operation::Pixel(PixelOp::Saturation(_) | PixelOp::Hue(_) | PixelOp::Grey) if !color => continue,
                    Operation::Pixel(PixelOp::Saturation(factor)) => instruction("SATURATION", &blend(factor)),
                    Operation::Pixel(PixelOp::Hue(turn)) => instruction("HUE", &floats([turn])),
                    Operation::Pixel(PixelOp::Grey) => instruction("GREY", &[]),
                    Operation::Pixel(PixelOp::Solarize(threshold)) => instruction("SOLARIZE", &floats([threshold])),
                    Operation::Pixel(PixelOp::Invert) => instruction("INVERT", &[]),
                    Operation::Pixel(PixelOp::Posterize(bits)) => {
                        let levels = (1u32 << bits) as f32;
                        instruction("POSTERIZE", &floats([levels, 1.0 / levels]))
                    }
                    Operation::Pixel(PixelOp::Normalize(mean, deviation)) => {
                        let words = [floats(mean), floats(deviation.map(|deviation| 1.0 / deviation))].concat();
                        instruction("NORMALIZE", &words)
                    }
                    Operation::PermuteChannels(order) => instruction("PERMUTE", &order.map(|channel| channel as u32)),
                    Operation::Erase { window, value } => {
                        instruction("ERASE", &[&numbers(window)[..], &floats(value)].concat())
                    }
                    _ => return unsupported(step),
                });
            }
        }
        Ok(())
    }

    /// Does the pending changes of single pixels.
    fn flush(&mut self) -> Result<()> {
        if self.programs.iter().all(Vec::is_empty) {
            return Ok(());
        }
        self.pixels(self.extent().channels)
    }

    /// The pending changes, and as many channels as are wanted: one value in all of them where there was one.
    fn pixels(&mut self, channels: usize) -> Result<()> {
        let extent = self.extent();
        let (mut table, mut count) = (Vec::new(), 0);
        for program in &self.programs {
            table.push(count);
            count += program.len() as u32;
        }
        table.push(count);
        let head = table.len();
        table.extend(self.programs.iter().flatten().flatten());
        let constants: String =
            INSTRUCTIONS.iter().enumerate().map(|(code, name)| format!("const {name} = {code}u;\n")).collect();
        let text = format!("{constants}{}", include_str!("augment.wgsl"));
        let area = extent.height * extent.width;
        // So few sums that each pixel of the second pass can add them up.
        let per = area.div_ceil(32).max(1024);
        let sums = kernel::output_of(&self.gpu, &[self.programs.len() * area.div_ceil(per)], DType::F32)?;
        let table = kernel::table(&self.gpu, &table)?;
        if self.contrast {
            let pieces = area.div_ceil(per);
            self.fold("sums", &|| format!("{text}{SUMS}"), &table, pieces, &sums, &[head, per, pieces])?;
        }
        let contrast = self.contrast;
        let stage =
            Stage { table: &table, leaves: Extent { channels, ..extent }, more: &[head, per, area.div_ceil(per)] };
        self.images = stage.run(&self.gpu, &self.images, contrast.then_some(&sums), &format!("pixels {contrast}"), &|| {
            let mean = if contrast { MEAN } else { "const mean = 0.0;\n" };
            let sums = if contrast { "@group(0) @binding(4) var<storage, read> sums: array<f32>;\n" } else { "" };
            format!("{sums}{text}fn each(i: u32) {{\n{PLACE}{mean}put(i, after(p(4u) + image, pixel(image, row, column), row, column, mean, false));\n}}\n")
        })?;
        self.programs.iter_mut().for_each(Vec::clear);
        self.contrast = false;
        Ok(())
    }

    /// Numbers of each image that its pixels make together, by `groups` workgroups an image; `more` are parameters from 15 on.
    fn fold(
        &self,
        key: &str,
        text: &dyn Fn() -> String,
        table: &Tensor,
        groups: usize,
        out: &Tensor,
        more: &[usize],
    ) -> Result<()> {
        let Extent { height, width, channels } = self.extent();
        for (first, count) in parts(&self.gpu, &self.images, 0) {
            let mut launch = Kernel::new(&self.gpu);
            let from = launch.bind(&self.images, &window(&self.images, first, count), false)?;
            let at = launch.read(table)?;
            let to = launch.write(out)?;
            launch.set(&[(count * groups) as u32, from, at, to]);
            launch.set_sizes(&[first, height, width, channels, height, width]);
            launch.set_sizes(self.images.strides());
            launch.set_sizes(&[channels]);
            launch.set_sizes(more);
            let workgroups = self.gpu.workgroups(count * groups, 1)?;
            launch.run(&format!("augment {key}"), &|| format!("{HEAD}{}", text()), workgroups)?;
        }
        Ok(())
    }

    /// Channels stretched to the whole range, or their levels spread: `count` numbers an image are found first, by `groups` workgroups.
    fn levels(
        &mut self,
        own: &[Option<Operation>],
        key: &str,
        texts: [&'static str; 2],
        groups: usize,
        count: usize,
    ) -> Result<()> {
        let changed: Vec<u32> = own.iter().map(|one| u32::from(one.is_some())).collect();
        let table = kernel::table(&self.gpu, &changed)?;
        let found = kernel::output_of(&self.gpu, &[own.len() * count], DType::F32)?;
        let [find, change] = texts;
        self.fold(&format!("{key} of images"), &|| find.to_string(), &table, groups, &found, &[])?;
        let stage = Stage { table: &table, leaves: self.extent(), more: &[] };
        self.images = stage.run(&self.gpu, &self.images, Some(&found), key, &|| {
            let sums = "@group(0) @binding(4) var<storage, read> sums: array<f32>;\n";
            format!("{sums}{change}fn each(i: u32) {{\n{PLACE}let v = pixel(image, row, column);\nif (t(p(4u) + image) == 0u) {{ put(i, v); return; }}\nput(i, changed(p(4u) + image, v));\n}}\n")
        })?;
        Ok(())
    }

    /// Table: whether an image is changed, and what is kept of it.
    fn sharpen(&mut self, own: &[Option<Operation>]) -> Result<()> {
        let mut table = Vec::new();
        for one in own {
            table.extend(match *one {
                None => [0, 0],
                Some(Operation::Sharpen(factor)) => [1, ((1.0 - factor) as f32).to_bits()],
                Some(other) => bail!(Internal, "augment: {other:?} among changes of sharpness"),
            });
        }
        let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves: self.extent(), more: &[] };
        self.images = stage.run(&self.gpu, &self.images, None, "sharpen", &|| {
            format!("{SHARPEN}fn each(i: u32) {{\n{PLACE}put(i, sharpened(image, row, column));\n}}\n")
        })?;
        Ok(())
    }

    fn resize(
        &mut self,
        own: &[Option<Operation>],
        (height, width): (usize, usize),
        interpolation: Interpolation,
        antialias: bool,
    ) -> Result<()> {
        let extent = self.extent();
        let mut table = Vec::new();
        for one in own {
            let Some(Operation::Resize { window, .. }) = one else { bail!(Internal, "augment: {one:?} among resizes") };
            let window = window.unwrap_or(Window::whole(extent.width, extent.height));
            // In float32 as the CPU divides, since GPUs may round a quotient otherwise.
            let steps = [window.height as f32 / height as f32, window.width as f32 / width as f32];
            table.extend(numbers(window));
            table.extend(floats(steps));
        }
        let text = match interpolation {
            Interpolation::Nearest => NEAREST.replace("SHIFT", "0.0"),
            Interpolation::NearestExact => NEAREST.replace("SHIFT", "0.5"),
            Interpolation::Bilinear => {
                format!("const REACH = 1.0;\nconst ANTIALIAS = {antialias};\n{TRIANGLE}{FILTER}")
            }
            Interpolation::Bicubic => {
                let a = if antialias { "-0.5" } else { "-0.75" };
                format!("const REACH = 2.0;\nconst ANTIALIAS = {antialias};\n{}{FILTER}", KEYS.replace("KEY", a))
            }
        };
        let stage =
            Stage { table: &kernel::table(&self.gpu, &table)?, leaves: Extent { height, width, ..extent }, more: &[] };
        let key = format!("resize {interpolation:?} {antialias}");
        self.images = stage.run(&self.gpu, &self.images, None, &key, &|| {
            format!("{text}fn each(i: u32) {{\n{PLACE}put(i, resized(image, row, column));\n}}\n")
        })?;
        Ok(())
    }

    /// Windows, flips and quarter turns: every pixel is one of the image, or the fill.
    fn cut(&mut self, own: &[Option<Operation>]) -> Result<()> {
        let extent = self.extent();
        let (mut table, mut padding): (Vec<u32>, _) = (Vec::new(), Padding::Constant(0.0));
        for one in own {
            table.extend(match *one {
                None => [0; 4],
                Some(Operation::FlipHorizontal) => [0, 0, 1, 0],
                Some(Operation::FlipVertical) => [0, 0, 2, 0],
                Some(Operation::RotateQuarters(turns)) => [0, 0, 0, turns as u32 % 4],
                Some(Operation::Crop { top, left, height, width, padding: mode }) => {
                    padding = mode;
                    places(extent.height, top, height, mode)?;
                    places(extent.width, left, width, mode)?;
                    [top as i32 as u32, left as i32 as u32, 0, 0]
                }
                Some(other) => bail!(Internal, "augment: {other:?} among windows"),
            });
        }
        let leaves = left(extent, own)?;
        let (mode, fill) = match padding {
            Padding::Constant(fill) => (0, fill),
            Padding::Edge => (1, 0.0),
            Padding::Reflect => (2, 0.0),
            Padding::Symmetric => (3, 0.0),
        };
        let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves, more: &[mode, fill.to_bits() as usize] };
        self.images = stage.run(&self.gpu, &self.images, None, "cut", &|| {
            format!("{CUT}fn each(i: u32) {{\n{PLACE}put(i, cut(image, row, column));\n}}\n")
        })?;
        Ok(())
    }

    /// Along rows, then along columns, by a kernel an image; one weight leaves an image as it is.
    fn blur(&mut self, own: &[Option<Operation>], size: [usize; 2]) -> Result<()> {
        let extent = self.extent();
        for axis in 0..2 {
            let (mut table, mut weights) = (Vec::new(), Vec::new());
            for one in own {
                let kernel = match one {
                    None => vec![1.0],
                    Some(Operation::Blur { sigma, .. }) => {
                        check_blur(size, *sigma, extent)?;
                        gaussian_kernel(size[axis], sigma[axis])
                    }
                    Some(other) => bail!(Internal, "augment: {other:?} among blurs"),
                };
                table.extend([weights.len() as u32, kernel.len() as u32]);
                weights.extend(kernel.into_iter().map(f32::to_bits));
            }
            let head = table.len();
            table.extend(weights);
            let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves: extent, more: &[head, axis] };
            self.images = stage.run(&self.gpu, &self.images, None, "blur", &|| {
                format!("{BLUR}fn each(i: u32) {{\n{PLACE}put(i, blurred(image, row, column));\n}}\n")
            })?;
        }
        Ok(())
    }

    fn noise(&mut self, own: &[Option<Operation>]) -> Result<()> {
        let extent = self.extent();
        let mut table = Vec::new();
        for one in own {
            table.extend(match *one {
                None => [0; 9],
                Some(Operation::Noise { mean, sigma, clip, key: own }) => {
                    let [a, b, c, d] = own.words();
                    [1, a, b, c, d, mean.to_bits(), sigma.to_bits(), u32::from(clip), 0]
                }
                Some(Operation::EraseWithNoise { window: Window { top, left, height, width }, key: own }) => {
                    let [a, b, c, d] = own.words();
                    // What of it lies in the image.
                    let [height, width] = [
                        (top + height).min(extent.height).saturating_sub(top),
                        (left + width).min(extent.width).saturating_sub(left),
                    ];
                    [2, a, b, c, d, top as u32, left as u32, height as u32, width as u32]
                }
                Some(other) => bail!(Internal, "augment: {other:?} among noise"),
            });
        }
        let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves: extent, more: &[] };
        self.images = stage.run(&self.gpu, &self.images, None, "noise", &|| {
            format!("{MATH}{PHILOX}{NOISE}fn each(i: u32) {{\n{PLACE}put(i, noisy(image, row, column));\n}}\n")
        })?;
        Ok(())
    }

    /// Table: whether each patch of each image is hidden.
    fn hide(&mut self, own: &[Option<Operation>], side: usize, value: f32) -> Result<()> {
        let extent = self.extent();
        let (rows, columns) = (extent.height / side, extent.width / side);
        let mut table = Vec::new();
        for one in own {
            match *one {
                None => table.extend(std::iter::repeat_n(0, rows * columns)),
                Some(Operation::HidePatches { hidden, key, .. }) => {
                    table.extend(visible_patches(rows * columns, hidden, key).into_iter().map(|kept| u32::from(!kept)));
                }
                Some(other) => bail!(Internal, "augment: {other:?} among patches"),
            }
        }
        let more = [side, rows, columns, value.to_bits() as usize];
        let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves: extent, more: &more };
        self.images = stage.run(&self.gpu, &self.images, None, "hide", &|| {
            format!("{HIDE}fn each(i: u32) {{\n{PLACE}put(i, hidden(image, row, column));\n}}\n")
        })?;
        Ok(())
    }

    /// Three boxes along rows, then three along columns.
    fn box_blur(&mut self, own: &[Option<Operation>]) -> Result<()> {
        let mut table = Vec::new();
        for one in own {
            table.extend(match *one {
                None => [0; 4],
                Some(Operation::BoxBlur(sigma)) => {
                    let [whole, inner, outer] = box_weights(sigma);
                    [1, whole, inner, outer]
                }
                Some(other) => bail!(Internal, "augment: {other:?} among box blurs"),
            });
        }
        let table = kernel::table(&self.gpu, &table)?;
        for pass in 0..6 {
            let more = [usize::from(pass >= 3), usize::from(pass == 0), usize::from(pass == 5)];
            let stage = Stage { table: &table, leaves: self.extent(), more: &more };
            self.images = stage.run(&self.gpu, &self.images, None, "box", &|| {
                format!("{BOX}fn each(i: u32) {{\n{PLACE}put(i, boxed(image, row, column));\n}}\n")
            })?;
        }
        Ok(())
    }

    fn warp(&mut self, own: &[Option<Operation>]) -> Result<()> {
        let extent = self.extent();
        let Some(Warp { bilinear, fill, .. }) = own.iter().find_map(|one| match one {
            Some(Operation::Warp(warp)) => Some(*warp),
            _ => None,
        }) else {
            bail!(Internal, "augment: a step of maps without one")
        };
        let leaves = left(extent, own)?;
        let mut table = Vec::new();
        for one in own {
            let (kind, map) = match *one {
                None => (0, [0.0; 8]),
                Some(Operation::Warp(Warp { map: Map::Affine(m), .. })) => {
                    (1, [m[0], m[1], m[2], m[3], m[4], m[5], 0.0, 0.0])
                }
                Some(Operation::Warp(Warp { map: Map::Perspective(map), .. })) => (2, map),
                Some(Operation::RotateQuarters(turns)) => {
                    let m = inverse_affine([0.0; 2], -90.0 * turns as f64, [0.0; 2], 1.0, [0.0; 2]);
                    (1, [m[0], m[1], m[2], m[3], m[4], m[5], 0.0, 0.0])
                }
                Some(other) => bail!(Internal, "augment: {other:?} among maps"),
            };
            table.push(kind);
            table.extend(map.map(|number| (number as f32).to_bits()));
        }
        let [red, green, blue] = fill.unwrap_or_default().map(|value| value.to_bits() as usize);
        let more = [usize::from(bilinear), usize::from(fill.is_some()), red, green, blue];
        let stage = Stage { table: &kernel::table(&self.gpu, &table)?, leaves, more: &more };
        self.images = stage.run(&self.gpu, &self.images, None, "warp", &|| {
            format!("{WARP}fn each(i: u32) {{\n{PLACE}put(i, warped(image, row, column));\n}}\n")
        })?;
        Ok(())
    }
}

fn unsupported<T>(step: &Step) -> Result<T> {
    let name = match step {
        Step::Fixed(Operation::Pixel(PixelOp::Gamma(..))) => "adjustGamma",
        Step::Fixed(Operation::Pixel(PixelOp::ToBytes)) => "toDtype",
        _ => step.name(),
    };
    bail!(Unsupported, "{name} has no kernel for GPUs; put it under transform, or run on the CPU")
}

/// What a step makes of all images.
fn left(extent: Extent, own: &[Option<Operation>]) -> Result<Extent> {
    let leaves = |one: &Option<Operation>| one.map_or(extent, |one| one.leaves(extent));
    let first = own.first().map_or(extent, leaves);
    let same = own.iter().all(|one| leaves(one) == first);
    ensure!(same, Shape, "augment: images of one batch would become of different sizes; set expand to false");
    Ok(first)
}
