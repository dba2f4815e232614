//! Augmentation pipelines: steps built once, applied to one image at a time, on the calling thread.
//! What is drawn for a view follows from (seed, epoch, sample, view) alone, never from the order or number of threads.

use super::Image;
use super::decode::{DecodeOptions, decode_into};
use super::operation::{Input, Operation, Scratch, execute_into};
use super::planes::Source;
use super::step::{Extent, Step};
use crate::error::{Error, Result};
use crate::random::Philox;
use crate::{bail, ensure};

/// Steps in order, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline {
    steps: Vec<Step>,
    floats: bool,
}

impl Pipeline {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a step.
    ///
    /// # Errors
    /// `Error::Argument` where an argument is out of range, or the step does not fit those before it.
    pub fn push(&mut self, step: Step) -> Result<()> {
        step.check()?;
        match &step {
            Step::ToImage => {
                ensure!(!self.floats, Argument, "ToImage: the image already is floats after an earlier ToImage");
                self.floats = true;
            }
            Step::Normalize { .. } => {
                ensure!(self.floats, Argument, "Normalize: the image still is bytes; put ToImage before it");
            }
            Step::RandomSolarize { threshold, .. } => {
                let bound = if self.floats { 1.0 } else { 255.0 };
                ensure!(
                    *threshold <= bound,
                    Argument,
                    "RandomSolarize: a threshold of {threshold}; the image goes up to {bound} here"
                );
            }
            _ => {}
        }
        self.steps.push(step);
        Ok(())
    }

    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Numbers recorded for each image: the sum over its steps.
    pub fn recorded(&self) -> usize {
        self.steps.iter().map(Step::recorded).sum()
    }

    /// What becomes of an image of `extent`.
    pub fn leaves(&self, extent: Extent) -> Result<Extent> {
        ensure!(self.floats, Argument, "a pipeline of {} steps without ToImage gives no floats", self.steps.len());
        self.steps.iter().try_fold(extent, |extent, step| step.leaves(extent))
    }

    /// Draws all numbers for one view.
    fn plan(
        &self,
        mut extent: Extent,
        random: &mut Philox,
        operations: &mut Vec<Operation>,
        record: &mut Vec<f64>,
    ) -> Result<()> {
        for step in &self.steps {
            step.plan(extent, random, operations, record)?;
            extent = step.leaves(extent)?;
        }
        Ok(())
    }
}

/// An image to augment: the bytes of a file, or pixels.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    Encoded(&'a [u8]),
    Pixels(Source<'a, u8>),
}

/// The generator of one view of one sample in one epoch.
pub fn view_generator(seed: u64, epoch: u32, sample: u64, view: u32) -> Philox {
    Philox::derived(seed, sample, epoch, view)
}

/// Memory of one thread that augments, used again from image to image.
#[derive(Debug, Default)]
pub struct Worker {
    pub decoding: DecodeOptions,
    decoded: Image,
    operations: Vec<Operation>,
    scratch: Scratch,
}

/// The views of a batch of images, one image after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// What each image became; the same for all.
    pub extent: Option<Extent>,
    /// `[batch, height, width, channels]`.
    pub pixels: Vec<f32>,
    /// `[batch, recorded]`.
    pub record: Vec<f64>,
}

impl Worker {
    /// One view: `out` takes floats `[height, width, channels]`, `record` what was drawn.
    pub fn apply(
        &mut self,
        pipeline: &Pipeline,
        source: &Source<'_, u8>,
        random: &mut Philox,
        out: &mut [f32],
        record: &mut Vec<f64>,
    ) -> Result<()> {
        self.operations.clear();
        pipeline.plan(extent_of(source), random, &mut self.operations, record)?;
        execute_into(Input::Bytes(*source), &self.operations, &mut self.scratch, out)
    }

    /// All views of each picture; a file is decoded once. `samples` are the numbers the pictures have in their data set.
    ///
    /// # Errors
    /// The place of the first bad picture in the batch, and the error: `Error::Data` where it cannot be decoded,
    /// `Error::Shape` where it ends up in another size than those before it.
    pub fn apply_batch(
        &mut self,
        pipelines: &[&Pipeline],
        pictures: &[Picture<'_>],
        seed: u64,
        epoch: u32,
        samples: &[u64],
    ) -> std::result::Result<Vec<View>, (usize, Error)> {
        assert_eq!(pictures.len(), samples.len(), "a number for each picture");
        let mut views = vec![View::default(); pipelines.len()];
        for (place, (picture, &sample)) in pictures.iter().zip(samples).enumerate() {
            self.add(pipelines, picture, pictures.len(), |view| view_generator(seed, epoch, sample, view), &mut views)
                .map_err(|error| (place, error))?;
        }
        Ok(views)
    }

    fn add(
        &mut self,
        pipelines: &[&Pipeline],
        picture: &Picture<'_>,
        count: usize,
        generator: impl Fn(u32) -> Philox,
        views: &mut [View],
    ) -> Result<()> {
        // Taken out, so that the pixels and the rest of the worker can be used at once.
        let mut decoded = std::mem::take(&mut self.decoded);
        let outcome = (|| {
            let source = match picture {
                Picture::Encoded(bytes) => {
                    decode_into(bytes, &self.decoding, &mut decoded)?;
                    decoded.as_source()
                }
                Picture::Pixels(source) => *source,
            };
            check_source(&source)?;
            for (number, (pipeline, view)) in pipelines.iter().zip(views).enumerate() {
                let extent = pipeline.leaves(extent_of(&source))?;
                let size = extent.height * extent.width * extent.channels;
                match view.extent {
                    None => {
                        view.extent = Some(extent);
                        view.pixels.reserve_exact(count * size);
                        view.record.reserve_exact(count * pipeline.recorded());
                    }
                    Some(first) if first == extent => {}
                    Some(first) => bail!(
                        Shape,
                        "view {number}: an image of {}x{}x{} (channels x height x width) among images of {}x{}x{}; \
                         add a step that gives all images one size, such as CenterCrop",
                        extent.channels,
                        extent.height,
                        extent.width,
                        first.channels,
                        first.height,
                        first.width
                    ),
                }
                let start = view.pixels.len();
                view.pixels.resize(start + size, 0.0);
                let out = &mut view.pixels[start..];
                self.apply(pipeline, &source, &mut generator(number as u32), out, &mut view.record)?;
            }
            Ok(())
        })();
        self.decoded = decoded;
        outcome
    }
}

fn extent_of(source: &Source<'_, u8>) -> Extent {
    Extent { height: source.height, width: source.width, channels: source.channels }
}

fn check_source(source: &Source<'_, u8>) -> Result<()> {
    let Source { data, width, height, channels, .. } = *source;
    ensure!(channels == 1 || channels == 3, Argument, "an image of {channels} channels; 1 and 3 can be augmented");
    ensure!(width > 0 && height > 0, Argument, "an image of {height}x{width} (height x width) has no pixels");
    let size = width.checked_mul(height).and_then(|area| area.checked_mul(channels));
    ensure!(
        size.is_some_and(|size| size <= data.len()),
        Argument,
        "an image of {channels}x{height}x{width} (channels x height x width) in {} bytes",
        data.len()
    );
    Ok(())
}
