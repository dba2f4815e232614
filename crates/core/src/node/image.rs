//! Augmentation at the border: pipelines of steps, and batches of views made off the event loop. Image files are in `image_file`.

use super::Result;
use crate::error::Error;
use crate::image::augment::{Picture, Pipeline as Steps, View, Worker};
use crate::image::geometry::Padding;
use crate::image::planes::{Layout, Source};
use crate::image::resample::Interpolation;
use crate::image::step::Step;
use crate::shape::channels_last_strides;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use napi::bindgen_prelude::{AsyncTask, ClassInstance, Float64Array, Uint8Array};
use napi::{Env, Task};
use napi_derive::napi;
use std::cell::RefCell;
use std::sync::Arc;

fn pair(name: &str, values: &[f64]) -> Result<(f64, f64)> {
    match values {
        &[low, high] => Ok((low, high)),
        _ => crate::bail!(Argument, "{name}: expected two numbers, got {values:?}"),
    }
}

fn size(name: &str, values: &[u32]) -> Result<(usize, usize)> {
    match values {
        &[height, width] => Ok((height as usize, width as usize)),
        _ => crate::bail!(Argument, "{name}: expected a size [height, width], got {values:?}"),
    }
}

fn interpolation(name: &str) -> Result<Interpolation> {
    Ok(match name {
        "nearest" => Interpolation::Nearest,
        "nearest-exact" => Interpolation::NearestExact,
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => crate::bail!(
            Argument,
            "\"{other}\" is no interpolation; there are nearest, nearest-exact, bilinear and bicubic"
        ),
    })
}

/// Steps that make a view of an image: bytes first, then `toImage`, then `normalize`. Each method appends one and returns
/// nothing; ERR_ARGUMENT where an argument is out of range or a step does not fit those before it.
#[napi(js_name = "Pipeline")]
pub struct JsPipeline {
    steps: RefCell<Steps>,
}

impl JsPipeline {
    fn push(&self, step: Step) -> Result<()> {
        self.steps.borrow_mut().push(step)
    }
}

#[napi]
impl JsPipeline {
    #[napi(constructor)]
    pub fn new() -> JsPipeline {
        JsPipeline { steps: RefCell::new(Steps::new()) }
    }

    /// A window of random area (a share of the image in `scale`) and width / height (`ratio`), resized to [height, width].
    #[napi]
    pub fn random_resized_crop(
        &self,
        to: Vec<u32>,
        scale: Vec<f64>,
        ratio: Vec<f64>,
        method: String,
        antialias: bool,
    ) -> Result<()> {
        self.push(Step::RandomResizedCrop {
            size: size("randomResizedCrop", &to)?,
            scale: pair("randomResizedCrop: scale", &scale)?,
            ratio: pair("randomResizedCrop: ratio", &ratio)?,
            interpolation: interpolation(&method)?,
            antialias,
        })
    }

    /// Resized to [height, width].
    #[napi]
    pub fn resize(&self, to: Vec<u32>, method: String, antialias: bool) -> Result<()> {
        self.push(Step::Resize { size: size("resize", &to)?, interpolation: interpolation(&method)?, antialias })
    }

    /// Resized until the shorter edge is `edge` pixels, and the longer one at most `longest`.
    #[napi]
    pub fn resize_edge(&self, edge: u32, longest: Option<u32>, method: String, antialias: bool) -> Result<()> {
        let max_size = longest.map(|pixels| pixels as usize);
        self.push(Step::ResizeEdge { size: edge as usize, max_size, interpolation: interpolation(&method)?, antialias })
    }

    /// The middle, [height, width]; what the image lacks is black.
    #[napi]
    pub fn center_crop(&self, to: Vec<u32>) -> Result<()> {
        self.push(Step::CenterCrop { size: size("centerCrop", &to)? })
    }

    /// A window [height, width] at a random place, after padding by [left, top, right, bottom] pixels.
    #[napi]
    pub fn random_crop(
        &self,
        to: Vec<u32>,
        padding: Vec<u32>,
        pad_if_needed: bool,
        #[napi(ts_arg_type = "'constant' | 'edge' | 'reflect' | 'symmetric'")] mode: String,
        fill: f64,
    ) -> Result<()> {
        let sides: [u32; 4] = match padding.try_into() {
            Ok(sides) => sides,
            Err(other) => crate::bail!(Argument, "randomCrop: padding {other:?}; expected left, top, right, bottom"),
        };
        let mode = match mode.as_str() {
            "constant" => Padding::Constant(fill as f32),
            "edge" => Padding::Edge,
            "reflect" => Padding::Reflect,
            "symmetric" => Padding::Symmetric,
            other => crate::bail!(Argument, "randomCrop: \"{other}\" is no way to pad"),
        };
        let padding = sides.map(|pixels| pixels as usize);
        self.push(Step::RandomCrop { size: size("randomCrop", &to)?, padding, pad_if_needed, mode })
    }

    /// Mirrored left to right with probability `p`.
    #[napi]
    pub fn random_horizontal_flip(&self, p: f64) -> Result<()> {
        self.push(Step::RandomHorizontalFlip { p })
    }

    /// Mirrored top to bottom with probability `p`.
    #[napi]
    pub fn random_vertical_flip(&self, p: f64) -> Result<()> {
        self.push(Step::RandomVerticalFlip { p })
    }

    /// Factors from ranges, in a random order, with probability `p`; null leaves an aspect alone. Hue in turns (-0.5..0.5).
    #[napi]
    pub fn color_jitter(
        &self,
        brightness: Option<Vec<f64>>,
        contrast: Option<Vec<f64>>,
        saturation: Option<Vec<f64>>,
        hue: Option<Vec<f64>>,
        p: f64,
    ) -> Result<()> {
        let range = |name: &str, values: Option<Vec<f64>>| values.map(|v| pair(name, &v)).transpose();
        self.push(Step::ColorJitter {
            brightness: range("colorJitter: brightness", brightness)?,
            contrast: range("colorJitter: contrast", contrast)?,
            saturation: range("colorJitter: saturation", saturation)?,
            hue: range("colorJitter: hue", hue)?,
            p,
        })
    }

    /// Grey in all channels, with probability `p`.
    #[napi]
    pub fn random_grayscale(&self, p: f64) -> Result<()> {
        self.push(Step::RandomGrayscale { p })
    }

    /// Blurred by a Gaussian kernel of [across, down] pixels (odd) and a sigma from a range, with probability `p`.
    #[napi]
    pub fn gaussian_blur(&self, kernel: Vec<u32>, sigma: Vec<f64>, p: f64) -> Result<()> {
        let (across, down) = size("gaussianBlur: kernel", &kernel)?;
        self.push(Step::GaussianBlur { size: [across, down], sigma: pair("gaussianBlur: sigma", &sigma)?, p })
    }

    /// Pixels from the threshold (0..255) up are inverted, with probability `p`.
    #[napi]
    pub fn random_solarize(&self, threshold: f64, p: f64) -> Result<()> {
        self.push(Step::RandomSolarize { threshold, p })
    }

    /// Grey images become RGB.
    #[napi]
    pub fn rgb(&self) -> Result<()> {
        self.push(Step::Rgb)
    }

    /// Bytes become floats 0..1.
    #[napi]
    pub fn to_image(&self) -> Result<()> {
        self.push(Step::ToImage)
    }

    /// (x − mean) / std of each channel; one value serves all three.
    #[napi]
    pub fn normalize(&self, mean: Vec<f64>, std: Vec<f64>) -> Result<()> {
        let three = |name: &str, values: Vec<f64>| match values[..] {
            [one] => Ok([one; 3]),
            [a, b, c] => Ok([a, b, c]),
            _ => Err(Error::Argument(format!("normalize: {name} {values:?}; expected one value or three"))),
        };
        self.push(Step::Normalize { mean: three("mean", mean)?, std: three("std", std)? })
    }

    /// The steps by torchvision's names, and how many numbers each records for an image.
    #[napi]
    pub fn recorded(&self) -> Vec<RecordedStep> {
        let steps = self.steps.borrow();
        let entry = |step: &Step| RecordedStep { name: step.name().to_string(), numbers: step.recorded() as u32 };
        steps.steps().iter().map(entry).collect()
    }
}

/// What a step draws for an image.
#[napi(object)]
pub struct RecordedStep {
    pub name: String,
    pub numbers: u32,
}

/// An image of a batch: the bytes of a file, or (with width, height and channels) pixels from `offset` on, interleaved.
#[napi(object, object_to_js = false)]
pub struct BatchImage {
    pub data: Uint8Array,
    pub offset: Option<f64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub channels: Option<u32>,
}

impl BatchImage {
    fn picture(&self) -> Result<Picture<'_>> {
        let (Some(width), Some(height), Some(channels)) = (self.width, self.height, self.channels) else {
            return Ok(Picture::Encoded(&self.data));
        };
        let offset = self.offset.unwrap_or(0.0) as usize;
        let (width, height, channels) = (width as usize, height as usize, channels as usize);
        let end = offset.saturating_add(width.saturating_mul(height).saturating_mul(channels));
        crate::ensure!(
            end <= self.data.len(),
            Data,
            "an image of {height}x{width} with {channels} channels at byte {offset} reaches beyond its {} bytes",
            self.data.len()
        );
        let data = &self.data[offset..end];
        Ok(Picture::Pixels(Source { data, width, height, channels, layout: Layout::Interleaved }))
    }
}

/// The first image of a batch that could not be made, and why.
#[napi(object)]
#[derive(Clone)]
pub struct BatchFailure {
    /// Its place in the batch.
    pub place: u32,
    pub code: String,
    pub message: String,
}

/// Either `views` or a `failure`.
#[napi(object, object_from_js = false)]
pub struct BatchViews {
    /// float32 [batch, channel, height, width], a tensor a pipeline; kept: whoever takes them disposes of them.
    pub views: Vec<Tensor>,
    /// What was drawn, [batch, numbers] a pipeline, in the order of `Pipeline.recorded()`.
    pub records: Vec<Float64Array>,
    pub failure: Option<BatchFailure>,
}

thread_local! {
    /// Scratch memory of this thread, used again from batch to batch.
    static WORKER: RefCell<Worker> = RefCell::new(Worker::default());
}

pub struct TransformBatch {
    images: Vec<BatchImage>,
    pipelines: Vec<Arc<Steps>>,
    seed: u64,
    epoch: u32,
    samples: Vec<u64>,
}

/// A view in memory of its own, still without a tensor (those belong to JavaScript's thread).
pub struct Made {
    pixels: Buffer<f32>,
    shape: [usize; 4],
    record: Vec<f64>,
}

type Outcome = std::result::Result<Vec<Made>, (usize, Error)>;

impl TransformBatch {
    fn run(&self) -> Outcome {
        let mut pictures = Vec::with_capacity(self.images.len());
        for (place, image) in self.images.iter().enumerate() {
            pictures.push(image.picture().map_err(|error| (place, error))?);
        }
        let pipelines: Vec<&Steps> = self.pipelines.iter().map(|steps| &**steps).collect();
        let views = WORKER.with(|worker| {
            worker.borrow_mut().apply_batch(&pipelines, &pictures, self.seed, self.epoch, &self.samples)
        })?;
        views.into_iter().map(|view| self.keep(view).map_err(|error| (0, error))).collect()
    }

    fn keep(&self, view: View) -> Result<Made> {
        let mut pixels = Buffer::new(view.pixels.len())?;
        pixels.copy_from_slice(&view.pixels);
        let shape = match view.extent {
            Some(extent) => [self.images.len(), extent.channels, extent.height, extent.width],
            None => [0, 3, 0, 0],
        };
        Ok(Made { pixels, shape, record: view.record })
    }
}

impl Task for TransformBatch {
    type Output = Outcome;
    type JsValue = BatchViews;

    fn compute(&mut self) -> napi::Result<Outcome> {
        // A panic becomes the failure of the first image: the process and the other batches live on.
        Ok(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run())).unwrap_or_else(|_| {
            Err((
                0,
                Error::Internal("augmentation panicked. This is a bug of stable-pretraining, please report it".into()),
            ))
        }))
    }

    fn resolve(&mut self, env: Env, outcome: Outcome) -> napi::Result<BatchViews> {
        let made = match outcome {
            Ok(made) => made,
            Err((place, error)) => {
                let failure =
                    BatchFailure { place: place as u32, code: error.code().into(), message: error.message().into() };
                return Ok(BatchViews { views: vec![], records: vec![], failure: Some(failure) });
            }
        };
        let (mut views, mut records) = (Vec::new(), Vec::new());
        for Made { pixels, shape, record } in made {
            let strides = channels_last_strides(&shape);
            let tensor = Tensor::from_buffer_strided(pixels, &shape, strides, crate::dtype::DType::F32);
            tensor.inner.kept.set(true);
            views.push(tensor);
            records.push(Float64Array::new(record));
        }
        super::report_memory(&env);
        Ok(BatchViews { views, records, failure: None })
    }
}

/// A view of each image by each pipeline, on a thread of its own. What is drawn is a function of (seed, epoch, sample,
/// number of the pipeline) alone; `samples` are the images' numbers in their data set.
#[napi(ts_return_type = "Promise<BatchViews>")]
pub fn transform_batch(
    images: Vec<BatchImage>,
    pipelines: Vec<ClassInstance<JsPipeline>>,
    seed: f64,
    epoch: u32,
    samples: Vec<f64>,
) -> Result<AsyncTask<TransformBatch>> {
    crate::ensure!(
        images.len() == samples.len(),
        Argument,
        "transformBatch: {} images and {} sample numbers",
        images.len(),
        samples.len()
    );
    let pipelines = pipelines.iter().map(|pipeline| Arc::new(pipeline.steps.borrow().clone())).collect();
    let samples = samples.into_iter().map(|sample| sample as u64).collect();
    Ok(AsyncTask::new(TransformBatch { images, pipelines, seed: seed as u64, epoch, samples }))
}
