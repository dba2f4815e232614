//! Augmentation pipelines: steps built once, applied to one image at a time, on the calling thread.
//! What is drawn for a view follows from (seed, epoch, sample, view) alone, never from the order or number of threads.

use super::Image;
use super::color::PixelOp;
use super::decode::{DecodeOptions, decode_into};
use super::operation::{Input, Operation, Outcome, Scratch, execute, execute_into};
use super::plan::Plan;
use super::planes::Source;
use super::record::{Extent, Record};
use super::step::Step;
use crate::ensure;
use crate::error::{Error, Result};
use crate::random::Philox;
use std::ops::DerefMut;

/// Steps in order, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipeline {
    steps: Vec<Step>,
    /// Whether images are floats at the end.
    floats: bool,
}

impl Pipeline {
    /// Of no steps, for images of bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of no steps, for images that are floats from the start.
    pub fn of_floats() -> Self {
        Self { steps: Vec::new(), floats: true }
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

    /// Appends the way back from floats to bytes.
    ///
    /// # Errors
    /// `Error::Argument` where the image is bytes.
    pub fn to_bytes(&mut self) -> Result<()> {
        ensure!(self.floats, Argument, "toBytes: the image is bytes already");
        self.floats = false;
        self.steps.push(Step::Fixed(Operation::Pixel(PixelOp::ToBytes)));
        Ok(())
    }

    pub fn gives_floats(&self) -> bool {
        self.floats
    }

    /// Whether some step makes one channel of several, or several of one.
    pub fn mixes_channels(&self) -> bool {
        let mixes = |step: &Step| match step {
            Step::ColorJitter { .. } | Step::RandomGrayscale { .. } | Step::RandomChannelPermutation | Step::Rgb => {
                true
            }
            Step::Normalize { .. } | Step::Fixed(Operation::Contrast(_)) => true,
            Step::Fixed(Operation::Pixel(op)) => !matches!(op, PixelOp::Gamma(..) | PixelOp::ToBytes),
            _ => false,
        };
        self.steps.iter().any(mixes)
    }

    /// What each step records for an image of `extent`, given what the steps leave whatever is drawn.
    pub fn records(&self, mut extent: Extent) -> Result<Vec<Record>> {
        self.steps
            .iter()
            .map(|step| {
                let record = step.record(extent);
                extent = step.leaves(extent)?;
                Ok(record)
            })
            .collect()
    }

    /// Draws all numbers for one view of an image of `extent`; returns what it becomes.
    ///
    /// # Errors
    /// `Error::Argument` where a step cannot be done to such an image.
    pub fn plan(&self, extent: Extent, random: &mut Philox, plan: &mut Plan) -> Result<Extent> {
        self.steps.iter().try_fold(extent, |extent, step| step.plan(extent, random, plan))
    }
}

/// An image to augment: the bytes of a file, or pixels.
#[derive(Clone, Copy, Debug)]
pub enum Picture<'a> {
    Encoded(&'a [u8]),
    Pixels(Source<'a, u8>),
    Floats(Source<'a, f32>),
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
    plan: Plan,
    scratch: Scratch,
}

/// The views of a batch of images, one image after the other.
#[derive(Clone, Debug, PartialEq)]
pub struct View<P = Vec<f32>> {
    /// What each image became; the same for all.
    pub extent: Extent,
    /// `[batch, height, width, channels]`.
    pub pixels: P,
    /// `[batch, recorded]`.
    pub record: Vec<f64>,
    /// What each step records of an image.
    pub records: Vec<Record>,
}

impl Worker {
    /// One view of a picture, in this worker's memory, and what was recorded of it.
    ///
    /// # Errors
    /// `Error::Data` where it cannot be decoded, `Error::Argument` where a step cannot be done to it.
    pub fn apply(
        &mut self,
        pipeline: &Pipeline,
        picture: &Picture<'_>,
        random: &mut Philox,
    ) -> Result<(Outcome<'_>, &[f64], Vec<Record>)> {
        let input = match picture {
            Picture::Encoded(bytes) => {
                decode_into(bytes, &self.decoding, &mut self.decoded)?;
                Input::Bytes(self.decoded.as_source())
            }
            Picture::Pixels(source) => Input::Bytes(*source),
            Picture::Floats(source) => Input::Floats(*source),
        };
        check_input(&input)?;
        self.plan.clear();
        pipeline.plan(input.extent(), random, &mut self.plan)?;
        let records = pipeline.records(input.extent())?;
        Ok((execute(input, &self.plan.operations, &mut self.scratch)?, &self.plan.record, records))
    }

    /// All views of each picture; a file is decoded once. `samples` are the numbers the pictures have in their data set.
    /// `allocate` makes room for the pixels of a view, of unspecified content. No view where there is no picture.
    ///
    /// # Errors
    /// The place of the first bad picture in the batch, and the error: `Error::Data` where it cannot be decoded,
    /// `Error::Shape` where it ends up in another size than those before it.
    pub fn apply_batch<P: DerefMut<Target = [f32]>>(
        &mut self,
        pipelines: &[&Pipeline],
        pictures: &[Picture<'_>],
        seed: u64,
        epoch: u32,
        samples: &[u64],
        allocate: impl Fn(usize) -> Result<P>,
    ) -> std::result::Result<Vec<View<P>>, (usize, Error)> {
        assert_eq!(pictures.len(), samples.len(), "a number for each picture");
        let mut views = Vec::with_capacity(pipelines.len());
        for (place, (picture, &sample)) in pictures.iter().zip(samples).enumerate() {
            let generator = |view| view_generator(seed, epoch, sample, view);
            self.add(pipelines, picture, (place, pictures.len()), generator, &allocate, &mut views)
                .map_err(|error| (place, error))?;
        }
        Ok(views)
    }

    fn add<P: DerefMut<Target = [f32]>>(
        &mut self,
        pipelines: &[&Pipeline],
        picture: &Picture<'_>,
        (place, count): (usize, usize),
        generator: impl Fn(u32) -> Philox,
        allocate: impl Fn(usize) -> Result<P>,
        views: &mut Vec<View<P>>,
    ) -> Result<()> {
        let Self { decoding, decoded, plan, scratch } = self;
        let input = match picture {
            Picture::Encoded(bytes) => {
                decode_into(bytes, decoding, decoded)?;
                Input::Bytes(decoded.as_source())
            }
            Picture::Pixels(source) => Input::Bytes(*source),
            Picture::Floats(source) => Input::Floats(*source),
        };
        check_input(&input)?;
        for (number, pipeline) in pipelines.iter().enumerate() {
            ensure!(pipeline.floats, Argument, "a pipeline of {} steps without ToImage", pipeline.steps.len());
            plan.clear();
            let extent = pipeline.plan(input.extent(), &mut generator(number as u32), plan)?;
            let size = extent.height * extent.width * extent.channels;
            if views.len() <= number {
                views.push(View {
                    extent,
                    pixels: allocate(count * size)?,
                    record: Vec::with_capacity(count * plan.record.len()),
                    records: pipeline.records(input.extent())?,
                });
            }
            let view = &mut views[number];
            let first = view.extent;
            ensure!(
                first == extent,
                Shape,
                "view {number}: an image of {}x{}x{} (channels x height x width) among images of {}x{}x{}; \
                 add a step that gives all images one size, such as CenterCrop",
                extent.channels,
                extent.height,
                extent.width,
                first.channels,
                first.height,
                first.width
            );
            let recorded: usize = view.records.iter().map(|record| record.count()).sum();
            ensure!(
                plan.record.len() == recorded,
                Shape,
                "view {number}: {} numbers recorded of an image, {recorded} of those before; they have fewer or more patches",
                plan.record.len()
            );
            view.record.extend(&plan.record);
            execute_into(input, &plan.operations, scratch, &mut view.pixels[place * size..(place + 1) * size])?;
        }
        Ok(())
    }
}

fn check_input(input: &Input<'_>) -> Result<()> {
    let Extent { width, height, channels } = input.extent();
    ensure!(channels == 1 || channels == 3, Argument, "an image of {channels} channels; 1 and 3 can be augmented");
    ensure!(width > 0 && height > 0, Argument, "an image of {height}x{width} (height x width) has no pixels");
    let size = width.checked_mul(height).and_then(|area| area.checked_mul(channels));
    let held = match input {
        Input::Bytes(source) => source.data.len(),
        Input::Floats(source) => source.data.len(),
    };
    ensure!(
        size.is_some_and(|size| size <= held),
        Argument,
        "an image of {channels}x{height}x{width} (channels x height x width) in {held} samples"
    );
    Ok(())
}
