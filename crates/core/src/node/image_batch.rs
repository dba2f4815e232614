//! What runs pipelines at the border: whole batches off the event loop, single images likewise, and tensors at once.

use super::Result;
use super::image::JsPipeline;
use crate::error::Error;
use crate::image::augment::{Picture, Pipeline as Steps, View, Worker, view_generator};
use crate::image::operation::Outcome;
use crate::image::planes::{Layout, Planes, Sample, Source};
use crate::image::record::Record;
use crate::ops::movement;
use crate::shape::channels_last_strides;
use crate::storage::Buffer;
use crate::tensor::Tensor;
use napi::bindgen_prelude::{AsyncTask, ClassInstance, Either, Float32Array, Float64Array, Uint8Array};
use napi::{Env, Task};
use napi_derive::napi;
use std::cell::RefCell;
use std::sync::Arc;

/// What a step records of each image.
#[napi(object)]
#[derive(Clone)]
pub struct RecordedStep {
    /// By the class of torchvision or stable-pretraining.
    pub name: String,
    /// Whether the numbers are truth values.
    pub flags: bool,
    /// Sizes of what is recorded of an image: none for a single number. Null where nothing is.
    pub shape: Option<Vec<u32>>,
}

pub(super) fn recorded(steps: &Steps, records: &[Record]) -> Vec<RecordedStep> {
    let entry = |(step, record): (&crate::image::step::Step, &Record)| RecordedStep {
        name: step.name().to_string(),
        flags: matches!(record, Record::Flag | Record::Flags(_)),
        shape: match record {
            Record::Nothing => None,
            Record::Flag | Record::Number => Some(vec![]),
            Record::Numbers(count) => Some(vec![*count as u32]),
            Record::Flags([rows, columns]) => Some(vec![*rows as u32, *columns as u32]),
        },
    };
    steps.steps().iter().zip(records).map(entry).collect()
}

/// An image of a batch: the bytes of a file, or (with width, height and channels) pixels from `offset` on, interleaved.
#[napi(object, object_to_js = false)]
pub struct BatchImage {
    pub data: Either<Uint8Array, Float32Array>,
    /// Elements before the first pixel.
    pub offset: Option<f64>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub channels: Option<u32>,
}

impl BatchImage {
    fn picture(&self) -> Result<Picture<'_>> {
        let (Some(width), Some(height), Some(channels)) = (self.width, self.height, self.channels) else {
            return match &self.data {
                Either::A(file) => Ok(Picture::Encoded(file)),
                Either::B(_) => crate::bail!(Data, "an image of floats without width, height and channels"),
            };
        };
        let offset = self.offset.unwrap_or(0.0) as usize;
        let extent = [width, height, channels].map(|size| size as usize);
        Ok(match &self.data {
            Either::A(pixels) => Picture::Pixels(source(pixels, offset, extent)?),
            Either::B(pixels) => Picture::Floats(source(pixels, offset, extent)?),
        })
    }
}

fn source<T>(data: &[T], offset: usize, [width, height, channels]: [usize; 3]) -> Result<Source<'_, T>> {
    let end = offset.saturating_add(width.saturating_mul(height).saturating_mul(channels));
    crate::ensure!(
        end <= data.len(),
        Data,
        "an image of {height}x{width} with {channels} channels at element {offset} reaches beyond its {} elements",
        data.len()
    );
    Ok(Source { data: &data[offset..end], width, height, channels, layout: Layout::Interleaved })
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

impl BatchFailure {
    fn of((place, error): (usize, Error)) -> Self {
        Self { place: place as u32, code: error.code().into(), message: error.message().into() }
    }
}

thread_local! {
    /// Scratch memory of this thread, used again from batch to batch.
    static WORKER: RefCell<Worker> = RefCell::new(Worker::default());
}

type Failed = (usize, Error);

/// Runs `work`; a panic becomes the failure of the first image: the process and the other batches live on.
fn guarded<T>(work: impl FnOnce(&mut Worker) -> std::result::Result<T, Failed>) -> std::result::Result<T, Failed> {
    let run = || WORKER.with(|worker| work(&mut worker.borrow_mut()));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err((0, Error::Internal("augmentation panicked. This is a bug of stable-pretraining, please report it".into())))
    })
}

fn pictures(images: &[BatchImage]) -> std::result::Result<Vec<Picture<'_>>, Failed> {
    images.iter().enumerate().map(|(place, image)| image.picture().map_err(|error| (place, error))).collect()
}

/// Either `views` or a `failure`.
#[napi(object, object_from_js = false)]
pub struct BatchViews {
    /// float32 [batch, channel, height, width], a tensor a pipeline; kept: whoever takes them disposes of them.
    pub views: Vec<Tensor>,
    /// What was drawn, [batch, numbers] a pipeline, one step after the other.
    pub records: Vec<Float64Array>,
    /// What the steps of each pipeline record.
    pub recorded: Vec<Vec<RecordedStep>>,
    pub failure: Option<BatchFailure>,
}

pub struct TransformBatch {
    images: Vec<BatchImage>,
    pipelines: Vec<Arc<Steps>>,
    seed: u64,
    epoch: u32,
    samples: Vec<u64>,
}

impl Task for TransformBatch {
    type Output = std::result::Result<Vec<View<Buffer<f32>>>, Failed>;
    type JsValue = BatchViews;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let pipelines: Vec<&Steps> = self.pipelines.iter().map(|steps| &**steps).collect();
        Ok(guarded(|worker| {
            let pictures = pictures(&self.images)?;
            worker.apply_batch(&pipelines, &pictures, self.seed, self.epoch, &self.samples, Buffer::new)
        }))
    }

    fn resolve(&mut self, env: Env, outcome: Self::Output) -> napi::Result<BatchViews> {
        let mut found = BatchViews { views: vec![], records: vec![], recorded: vec![], failure: None };
        match outcome {
            Err(failed) => found.failure = Some(BatchFailure::of(failed)),
            Ok(views) => {
                for (View { extent, pixels, record, records }, steps) in views.into_iter().zip(&self.pipelines) {
                    let shape = [self.images.len(), extent.channels, extent.height, extent.width];
                    let strides = channels_last_strides(&shape);
                    let tensor = Tensor::from_buffer_strided(pixels, &shape, strides, crate::dtype::DType::F32);
                    tensor.inner.kept.set(true);
                    found.views.push(tensor);
                    found.records.push(Float64Array::new(record));
                    found.recorded.push(recorded(steps, &records));
                }
            }
        }
        super::report_memory(&env);
        Ok(found)
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

/// One image that a pipeline made.
#[napi(object, object_from_js = false)]
pub struct MadeImage {
    /// Bytes, or floats after `toImage`; rows from the top, channels interleaved.
    pub data: Either<Uint8Array, Float32Array>,
    pub width: u32,
    pub height: u32,
    pub channels: u32,
    /// What was drawn, one step after the other.
    pub record: Float64Array,
    pub recorded: Vec<RecordedStep>,
}

/// Either `images` or a `failure`.
#[napi(object, object_from_js = false)]
pub struct MadeImages {
    pub images: Vec<MadeImage>,
    pub failure: Option<BatchFailure>,
}

/// Pixels that belong to no thread yet.
pub enum Pixels {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

pub struct Made {
    pixels: Pixels,
    size: [usize; 3],
    record: Vec<f64>,
    recorded: Vec<RecordedStep>,
}

impl Made {
    fn of(steps: &Steps, outcome: &Outcome<'_>, record: &[f64], records: &[Record]) -> Self {
        let (pixels, size) = match outcome {
            Outcome::Bytes(planes) => (Pixels::Bytes(interleaved(planes)), size_of_planes(planes)),
            Outcome::Floats(planes) => (Pixels::Floats(interleaved(planes)), size_of_planes(planes)),
        };
        Self { pixels, size, record: record.to_vec(), recorded: recorded(steps, records) }
    }
}

fn size_of_planes<T>(planes: &Planes<T>) -> [usize; 3] {
    [planes.width, planes.height, planes.channels]
}

fn interleaved<T: Sample>(planes: &Planes<T>) -> Vec<T> {
    let area = planes.area();
    (0..planes.data.len()).map(|i| planes.data[i % planes.channels * area + i / planes.channels]).collect()
}

pub struct TransformImages {
    images: Vec<BatchImage>,
    steps: Arc<Steps>,
    seed: u64,
    epoch: u32,
    samples: Vec<u64>,
    view: u32,
}

impl Task for TransformImages {
    type Output = std::result::Result<Vec<Made>, Failed>;
    type JsValue = MadeImages;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        let Self { images, steps, seed, epoch, samples, view } = self;
        Ok(guarded(|worker| {
            let mut made = Vec::with_capacity(images.len());
            for (place, (image, &sample)) in images.iter().zip(samples.iter()).enumerate() {
                let mut random = view_generator(*seed, *epoch, sample, *view);
                let picture = image.picture().map_err(|error| (place, error))?;
                let (outcome, record, records) =
                    worker.apply(steps, &picture, &mut random).map_err(|error| (place, error))?;
                made.push(Made::of(steps, &outcome, record, &records));
            }
            Ok(made)
        }))
    }

    fn resolve(&mut self, _: Env, outcome: Self::Output) -> napi::Result<MadeImages> {
        let made = match outcome {
            Err(failed) => return Ok(MadeImages { images: vec![], failure: Some(BatchFailure::of(failed)) }),
            Ok(made) => made,
        };
        let image = |Made { pixels, size: [width, height, channels], record, recorded }| MadeImage {
            data: match pixels {
                Pixels::Bytes(bytes) => Either::A(Uint8Array::new(bytes)),
                Pixels::Floats(floats) => Either::B(Float32Array::new(floats)),
            },
            width: width as u32,
            height: height as u32,
            channels: channels as u32,
            record: Float64Array::new(record),
            recorded,
        };
        Ok(MadeImages { images: made.into_iter().map(image).collect(), failure: None })
    }
}

/// Each image by one pipeline, on a thread of its own, each of whatever size it becomes; bytes stay bytes unless the
/// pipeline makes floats. What is drawn is a function of (seed, epoch, sample, view) alone.
#[napi(ts_return_type = "Promise<MadeImages>")]
pub fn transform_images(
    images: Vec<BatchImage>,
    pipeline: ClassInstance<JsPipeline>,
    seed: f64,
    epoch: u32,
    samples: Vec<f64>,
    view: u32,
) -> Result<AsyncTask<TransformImages>> {
    crate::ensure!(
        images.len() == samples.len(),
        Argument,
        "transformImages: {} images and {} sample numbers",
        images.len(),
        samples.len()
    );
    let steps = Arc::new(pipeline.steps.borrow().clone());
    let samples = samples.into_iter().map(|sample| sample as u64).collect();
    Ok(AsyncTask::new(TransformImages { images, steps, seed: seed as u64, epoch, samples, view }))
}

#[napi]
impl JsPipeline {
    /// An image [..., channel, height, width] of uint8 or float32 (0..1) by this pipeline, at once, on this thread. Images
    /// of one or three channels; others take steps that look at one channel at a time.
    #[napi]
    pub fn apply(&self, image: &Tensor, seed: Option<f64>) -> Result<Tensor> {
        let steps = self.steps.borrow();
        crate::op::guard("apply", || apply(&steps, image, seed.unwrap_or(0.0) as u64))
    }
}

fn apply(steps: &Steps, image: &Tensor, seed: u64) -> Result<Tensor> {
    let &[ref leading @ .., channels, height, width] = image.shape() else {
        crate::bail!(Shape, "expected an image [..., channel, height, width], got {:?}", image.shape())
    };
    let image = movement::contiguous(&image.detach()?)?;
    // Channels of an image that is neither grey nor RGB go one by one.
    let together = if channels == 1 || channels == 3 { channels } else { 1 };
    crate::ensure!(
        together == channels || !steps.mixes_channels(),
        Argument,
        "an image of {channels} channels; a change of colour needs 1 or 3"
    );
    let count = leading.iter().product::<usize>() * channels / together;
    let size = together * height * width;
    let (mut bytes, mut floats) = (Vec::new(), Vec::new());
    let mut made = [together, height, width];
    for place in 0..count {
        let at = place * size..(place + 1) * size;
        let picture = match image.dtype() {
            crate::dtype::DType::U8 => Picture::Pixels(planar(&image.slice()[at], [together, height, width])),
            crate::dtype::DType::F32 => Picture::Floats(planar(&image.slice()[at], [together, height, width])),
            other => crate::bail!(Dtype, "an image is uint8 or float32, not {}", other.name()),
        };
        let outcome = WORKER.with(|worker| {
            let mut worker = worker.borrow_mut();
            let (outcome, ..) = worker.apply(steps, &picture, &mut view_generator(seed, 0, place as u64, 0))?;
            made = match outcome {
                Outcome::Bytes(planes) => {
                    bytes.extend_from_slice(&planes.data);
                    [planes.channels, planes.height, planes.width]
                }
                Outcome::Floats(planes) => {
                    floats.extend_from_slice(&planes.data);
                    [planes.channels, planes.height, planes.width]
                }
            };
            Ok(())
        });
        outcome?;
    }
    let mut shape = leading.to_vec();
    shape.extend([made[0] * channels / together, made[1], made[2]]);
    if steps.gives_floats() { Tensor::from_slice(&floats, &shape) } else { Tensor::from_slice(&bytes, &shape) }
}

fn planar<T>(data: &[T], [channels, height, width]: [usize; 3]) -> Source<'_, T> {
    Source { data, width, height, channels, layout: Layout::Planar }
}
