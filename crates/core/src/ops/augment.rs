//! Batches of images changed by a pipeline of `image`, sample by sample with random numbers of its own, where the batch lies:
//! on the CPU by that room's own executor, on a GPU by a few kernels for all images (`augment_gpu`).

use crate::autograd;
use crate::cpu::threads::{SharedPointer, parallel_ranges};
use crate::dtype::DType;
use crate::ensure;
use crate::error::{Error, Result};
use crate::image::augment::{Pipeline, view_generator};
use crate::image::operation::{Input, Operation, Scratch, execute_into};
use crate::image::plan::Plan;
use crate::image::planes::{Layout, Source};
use crate::image::record::{Extent, Record};
use crate::op;
use crate::ops::movement;
use crate::shape::channels_last_strides;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use std::cell::RefCell;
use std::sync::Mutex;

/// A batch and what was drawn for it.
pub struct Augmented {
    /// float32 [batch, channel, height, width].
    pub images: Tensor,
    /// [batch, numbers], one step after the other.
    pub record: Vec<f64>,
    /// What each step records of an image.
    pub records: Vec<Record>,
}

/// What is done to one image, every number fixed: the operations of each step.
pub(super) type Drawn = Vec<Vec<Operation>>;

/// Images float32 [batch, channel, height, width] of 1 or 3 channels by a pipeline of floats. What is drawn for image i is a
/// function of (seed, epoch, samples[i]) alone, on every device the same. No gradient flows.
///
/// # Errors
/// `Error::Unsupported` on a GPU for a step that has no kernel there (named), and for images that want gradients;
/// `Error::Argument` where a step cannot be done to such images; `Error::Shape` where they end up in different sizes.
pub fn augment(images: &Tensor, pipeline: &Pipeline, seed: u64, epoch: u32, samples: &[u64]) -> Result<Augmented> {
    let extent = extent_of(images)?;
    ensure!(
        images.shape()[0] == samples.len(),
        Argument,
        "augment: {} images and {} sample numbers",
        images.shape()[0],
        samples.len()
    );
    ensure!(images.dtype() == DType::F32, Dtype, "augment: images are float32, not {}", images.dtype().name());
    ensure!(pipeline.gives_floats(), Argument, "augment: the pipeline leaves bytes; make one of floats");
    ensure!(
        !(autograd::is_enabled() && images.requires_grad()),
        Unsupported,
        "augment: images that want gradients cannot be augmented; use noGrad, or detach() them"
    );
    let (mut plan, mut drawn, mut record) = (Plan::default(), Vec::new(), Vec::new());
    let mut left: Option<Extent> = None;
    for &sample in samples {
        let mut random = view_generator(seed, epoch, sample, 0);
        plan.clear();
        let (mut own, mut now) = (Drawn::new(), extent);
        for step in pipeline.steps() {
            now = step.plan(now, &mut random, &mut plan)?;
            own.push(std::mem::take(&mut plan.operations));
        }
        let first = *left.get_or_insert(now);
        ensure!(
            first == now,
            Shape,
            "augment: an image became {}x{} (height x width), those before it {}x{}; add a step that gives all images one size",
            now.height,
            now.width,
            first.height,
            first.width
        );
        record.extend(&plan.record);
        drawn.push(own);
    }
    let left = left.map_or_else(|| pipeline.steps().iter().try_fold(extent, |extent, step| step.leaves(extent)), Ok)?;
    let images = op::once_one("augment", &[&images.detach()?], |inputs| run(inputs[0], pipeline, &drawn, left))?;
    Ok(Augmented { images, record, records: pipeline.records(extent)? })
}

fn extent_of(images: &Tensor) -> Result<Extent> {
    let &[_, channels, height, width] = images.shape() else {
        crate::bail!(Shape, "augment: expected images [batch, channel, height, width], got {:?}", images.shape())
    };
    ensure!(
        channels == 1 || channels == 3,
        Argument,
        "augment: images of {channels} channels; 1 and 3 can be augmented"
    );
    ensure!(height > 0 && width > 0, Argument, "augment: images of {height}x{width} (height x width) have no pixels");
    Ok(Extent { height, width, channels })
}

fn run(images: &Tensor, pipeline: &Pipeline, drawn: &[Drawn], left: Extent) -> Result<Tensor> {
    #[cfg(feature = "gpu")]
    if !images.is_host() {
        return super::augment_gpu::run(images, pipeline.steps(), drawn, left);
    }
    let _ = pipeline;
    on_cpu(images, drawn, left)
}

thread_local! {
    /// Memory of this thread, used again from image to image.
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

fn on_cpu(images: &Tensor, drawn: &[Drawn], left: Extent) -> Result<Tensor> {
    let Extent { height, width, channels } = extent_of(images)?;
    let interleaved = images.is_channels_last() && !images.is_contiguous();
    let images = if interleaved { movement::channels_last(images)? } else { movement::contiguous(images)? };
    let layout = if interleaved { Layout::Interleaved } else { Layout::Planar };
    let (pixels, size) = (images.slice::<f32>(), channels * height * width);
    let made = left.channels * left.height * left.width;
    let mut out = Buffer::<f32>::new(drawn.len() * made)?;
    let shared = SharedPointer::new(&mut out);
    let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    parallel_ranges(drawn.len(), 1, |range| {
        for i in range {
            // SAFETY: each image is written by one task.
            let out = unsafe { shared.slice(i * made..(i + 1) * made) };
            let source = Source { data: &pixels[i * size..(i + 1) * size], width, height, channels, layout };
            let operations = drawn[i].concat();
            let done = SCRATCH
                .with(|scratch| execute_into(Input::Floats(source), &operations, &mut scratch.borrow_mut(), out));
            if let Err(error) = done {
                let mut first = failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                if first.as_ref().is_none_or(|(place, _)| i < *place) {
                    *first = Some((i, error));
                }
            }
        }
    });
    if let Some((_, error)) = failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        return Err(error);
    }
    let shape = [drawn.len(), left.channels, left.height, left.width];
    Ok(Tensor::from_buffer_strided(out, &shape, channels_last_strides(&shape), DType::F32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Device;
    use crate::image::color::PixelOp;
    use crate::image::geometry::Padding;
    use crate::image::resample::Interpolation;
    use crate::image::step::Step;
    use crate::ops::{random, transfer};
    use crate::random::Philox;

    fn images(shape: &[usize]) -> Tensor {
        random::rand(shape, DType::F32, &mut Philox::new(3, 0)).unwrap()
    }

    fn pipeline(steps: Vec<Step>) -> Pipeline {
        let mut pipeline = Pipeline::of_floats();
        steps.into_iter().for_each(|step| pipeline.push(step).unwrap());
        pipeline
    }

    fn jitter(p: f64) -> Step {
        let about = |half: f64| Some((1.0 - half, 1.0 + half));
        Step::ColorJitter {
            brightness: about(0.4),
            contrast: about(0.4),
            saturation: about(0.2),
            hue: Some((-0.1, 0.1)),
            p,
        }
    }

    fn crop(interpolation: Interpolation, antialias: bool) -> Step {
        Step::RandomResizedCrop { size: (9, 7), scale: (0.2, 1.0), ratio: (0.75, 1.4), interpolation, antialias }
    }

    fn warped(fill: Option<[f64; 3]>, bilinear: bool) -> Step {
        Step::RandomAffine {
            degrees: (-30.0, 30.0),
            translate: Some((0.2, 0.1)),
            scale: Some((0.7, 1.3)),
            shear: Some([(-10.0, 10.0), (0.0, 5.0)]),
            center: None,
            bilinear,
            fill,
        }
    }

    const WINDOW: Step =
        Step::RandomErasing { scale: (0.05, 0.3), ratio: (0.3, 3.3), value: Some([0.5, 0.2, 0.1]), p: 0.7 };

    /// Lists of steps that GPUs have kernels for, and what of the values may differ from the CPU's by more than 2e-5: ties.
    fn lists() -> Vec<(&'static str, Vec<Step>, f64)> {
        let cut = |mode| Step::RandomCrop { size: (12, 10), padding: [3, 2, 1, 4], pad_if_needed: true, mode };
        let noise = Step::RandomErasing { scale: (0.1, 0.4), ratio: (0.3, 3.3), value: None, p: 0.8 };
        let normalize = Step::Normalize { mean: [0.4, 0.5, 0.6], std: [0.2, 0.25, 0.3] };
        let blur = |p| Step::GaussianBlur { size: [5, 3], sigma: (0.1, 2.0), p };
        let perspective =
            |p| Step::RandomPerspective { distortion: 0.5, bilinear: true, fill: Some([0.1, 0.2, 0.3]), p };
        let turn = |degrees, expand| Step::RandomRotation { degrees, expand, center: None, bilinear: true, fill: None };
        vec![
            ("bilinear", vec![crop(Interpolation::Bilinear, true)], 0.0),
            ("bilinear, not filtered", vec![crop(Interpolation::Bilinear, false)], 0.0),
            ("bicubic", vec![crop(Interpolation::Bicubic, true)], 0.0),
            ("bicubic, not filtered", vec![crop(Interpolation::Bicubic, false)], 0.0),
            ("nearest", vec![crop(Interpolation::Nearest, false)], 0.0),
            ("nearest, exact", vec![crop(Interpolation::NearestExact, false)], 0.0),
            (
                "smaller",
                vec![Step::Resize { size: (5, 4), interpolation: Interpolation::Bilinear, antialias: true }],
                0.0,
            ),
            (
                "edge",
                vec![Step::ResizeEdge {
                    size: 20,
                    max_size: None,
                    interpolation: Interpolation::Bicubic,
                    antialias: true,
                }],
                0.0,
            ),
            ("middle", vec![Step::CenterCrop { size: (20, 5) }], 0.0),
            ("cut", vec![cut(Padding::Constant(0.25))], 0.0),
            ("cut, edge", vec![cut(Padding::Edge)], 0.0),
            ("cut, reflected", vec![cut(Padding::Reflect)], 0.0),
            ("cut, symmetric", vec![cut(Padding::Symmetric)], 0.0),
            ("padded", vec![Step::Pad { sides: [1, 2, 3, 4], mode: Padding::Reflect }], 0.0),
            ("flips", vec![Step::RandomHorizontalFlip { p: 0.5 }, Step::RandomVerticalFlip { p: 0.5 }], 0.0),
            ("jitter", vec![jitter(0.8)], 0.0),
            ("jitter twice", vec![jitter(0.5), jitter(0.9)], 0.0),
            ("grey", vec![Step::RandomGrayscale { p: 0.5 }], 0.0),
            ("solarized", vec![Step::RandomSolarize { threshold: 0.5, p: 0.5 }], 0.0),
            ("inverted", vec![Step::RandomInvert { p: 0.5 }, Step::RandomPosterize { bits: 3, p: 0.5 }], 0.001),
            ("normalized", vec![Step::ToImage, normalize.clone()], 0.0),
            ("permuted", vec![Step::RandomChannelPermutation, Step::Rgb], 0.0),
            ("erased", vec![WINDOW], 0.0),
            ("blurred", vec![blur(0.6)], 0.0),
            ("Pillow's blur", vec![Step::BoxBlur { sigma: (0.1, 3.0), p: 0.7 }], 0.0),
            ("noise", vec![Step::GaussianNoise { mean: 0.1, sigma: 0.3, clip: true, p: 0.7 }], 0.0),
            ("more noise", vec![Step::AdditiveGaussian { sigma: 0.2, p: 0.7 }], 0.0),
            ("erased by noise", vec![noise], 0.0),
            ("hidden", vec![Step::PatchMasking { side: 4, ratio: 0.4, value: 0.3 }], 0.0),
            ("sharpened", vec![Step::RandomAdjustSharpness { factor: 2.0, p: 0.6 }], 0.0),
            ("stretched", vec![Step::RandomAutocontrast { p: 0.6 }], 0.0),
            ("equalized", vec![Step::RandomEqualize { p: 0.6 }], 0.0),
            ("grey in one channel", vec![Step::Fixed(Operation::Pixel(PixelOp::ToGrey))], 0.0),
            ("affine", vec![warped(Some([0.3; 3]), true)], 0.0),
            ("affine, zeros", vec![warped(None, true)], 0.0),
            ("affine, nearest", vec![warped(None, false)], 0.02),
            ("perspective", vec![perspective(0.6)], 0.0),
            ("turned", vec![turn((-90.0, 90.0), false)], 0.0),
            ("quarter", vec![turn((90.0, 90.0), true)], 0.0),
            ("three quarters", vec![turn((270.0, 270.0), true)], 0.0),
            ("half", vec![turn((180.0, 180.0), true)], 0.0),
            (
                "all",
                vec![
                    crop(Interpolation::Bilinear, true),
                    Step::RandomHorizontalFlip { p: 0.5 },
                    jitter(0.8),
                    Step::RandomGrayscale { p: 0.2 },
                    blur(0.5),
                    Step::RandomSolarize { threshold: 0.5, p: 0.0 },
                    normalize,
                    WINDOW,
                ],
                0.0,
            ),
        ]
    }

    #[test]
    fn a_gpu_makes_the_images_of_the_cpu() {
        let Ok(gpu) = Device::parse("gpu") else {
            eprintln!("SKIPPED: no GPU adapter");
            return;
        };
        for channels in [3, 1] {
            for (name, steps, ties) in lists() {
                if channels == 1 && name == "permuted" {
                    continue;
                }
                let steps = steps.into_iter().filter(|step| *step != Step::ToImage).collect();
                let (pipeline, batch) = (pipeline(steps), images(&[23, channels, 17, 13]));
                let samples: Vec<u64> = (5..28).collect();
                // Channels last, and every other image of a larger batch.
                let views = [
                    batch.clone(),
                    movement::channels_last(&batch).unwrap(),
                    movement::permute(
                        &movement::contiguous(&movement::permute(&batch, &[3, 2, 1, 0]).unwrap()).unwrap(),
                        &[3, 2, 1, 0],
                    )
                    .unwrap(),
                ];
                let host = augment(&batch, &pipeline, 7, 2, &samples).unwrap();
                let expected = host.images.to_vec::<f32>().unwrap();
                for view in views {
                    let there = transfer::to_device(&view, &gpu).unwrap();
                    let found = augment(&there, &pipeline, 7, 2, &samples).unwrap();
                    assert_eq!((found.images.shape(), &found.record), (host.images.shape(), &host.record), "{name}");
                    let found = transfer::to_device(&found.images, &Device::Cpu).unwrap().to_vec::<f32>().unwrap();
                    let far = found.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 2e-5).count();
                    let most = (ties * expected.len() as f64) as usize;
                    assert!(far <= most, "{name}, {channels} channels: {far} of {} values differ", expected.len());
                }
            }
        }
    }

    #[test]
    fn images_of_the_cpu_may_lie_channels_last_and_follow_their_own_numbers() {
        let (batch, all) = (images(&[6, 3, 17, 13]), lists().pop().unwrap().1);
        let pipeline = pipeline(all);
        let whole = augment(&batch, &pipeline, 1, 0, &[0, 1, 2, 3, 4, 5]).unwrap();
        let last = augment(&movement::channels_last(&batch).unwrap(), &pipeline, 1, 0, &[0, 1, 2, 3, 4, 5]).unwrap();
        assert_eq!(whole.images.to_vec::<f32>().unwrap(), last.images.to_vec::<f32>().unwrap());
        let part = augment(&movement::slice(&batch, 0, 2, 3, 1).unwrap(), &pipeline, 1, 0, &[2, 3, 4]).unwrap();
        let size = 3 * 9 * 7;
        assert_eq!(part.images.to_vec::<f32>().unwrap(), whole.images.to_vec::<f32>().unwrap()[2 * size..5 * size]);
        let none = augment(&images(&[0, 3, 17, 13]), &pipeline, 1, 0, &[]).unwrap();
        assert_eq!(none.images.shape(), [0, 3, 9, 7]);
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let code = |images: &Tensor, steps: Vec<Step>, samples: &[u64]| {
            let error = augment(images, &pipeline(steps), 0, 0, samples).err().expect("an error");
            (error.code(), error.message().to_string())
        };
        let two = images(&[2, 3, 8, 8]);
        assert_eq!(code(&images(&[2, 4, 8, 8]), vec![], &[0, 1]).0, "ERR_ARGUMENT");
        assert_eq!(code(&two, vec![], &[0]).0, "ERR_ARGUMENT");
        assert_eq!(code(&images(&[2, 3, 8]), vec![], &[0, 1]).0, "ERR_SHAPE");
        let free =
            Step::RandomRotation { degrees: (0.0, 80.0), expand: true, center: None, bilinear: true, fill: None };
        let (large, samples) = (images(&[6, 3, 30, 30]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(code(&large, vec![free.clone()], &samples).0, "ERR_SHAPE");
        let wide = Step::GaussianBlur { size: [17, 17], sigma: (1.0, 1.0), p: 1.0 };
        assert!(code(&two, vec![wide.clone()], &[0, 1]).1.contains("a kernel of 17"));
        let wanted = two.detach().unwrap();
        wanted.set_requires_grad(true).unwrap();
        assert_eq!(code(&wanted, vec![], &[0, 1]).0, "ERR_UNSUPPORTED");
        let Ok(gpu) = Device::parse("gpu") else { return };
        let there = transfer::to_device(&two, &gpu).unwrap();
        let (code_of, message) = code(&there, vec![Step::Fixed(Operation::Pixel(PixelOp::Gamma(2.0, 1.0)))], &[0, 1]);
        assert_eq!(code_of, "ERR_UNSUPPORTED");
        assert!(message.contains("adjustGamma"), "{message}");
        assert!(code(&there, vec![wide], &[0, 1]).1.contains("a kernel of 17"));
        let large = transfer::to_device(&large, &gpu).unwrap();
        assert_eq!(code(&large, vec![free], &samples).0, "ERR_SHAPE");
    }
}
