//! What is done to one image, with every number fixed, and the executor that does a list of it in as few passes as it can.
//! Drawing the numbers at random is the business of `augment`.

use super::blur::{BlurScratch, box_blur, gaussian_blur, sharpen};
use super::color::{PixelOp, Sink, run};
use super::geometry::{Padding, erase, flipped_places, gather, places, rotate_quarters};
use super::histogram::{autocontrast, equalize};
use super::noise::{Key, add_noise, erase_with_noise, hide_patches, permute_channels};
use super::planes::{Planes, Source};
use super::record::Extent;
use super::resample::{Interpolation, Resample, ResampleScratch, Resampling, Window, resample};
use super::warp::{Warp, warp};
use crate::error::Result;
use crate::{bail, ensure};

/// One operation. Names and meaning as in `torchvision.transforms.v2.functional`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// `height` x `width` pixels from row `top`, column `left`, which may be outside the image.
    Crop {
        top: i64,
        left: i64,
        height: usize,
        width: usize,
        padding: Padding,
    },
    /// Resizes a window (the whole image where `None`).
    Resize {
        window: Option<Window>,
        height: usize,
        width: usize,
        interpolation: Interpolation,
        antialias: bool,
    },
    FlipHorizontal,
    FlipVertical,
    /// Any operation on single pixels; a contrast must come as [`Operation::Contrast`].
    Pixel(PixelOp),
    /// Blend with the mean of the grey image.
    Contrast(f64),
    Autocontrast,
    Equalize,
    /// Kernel size and standard deviation, each (x, y).
    Blur {
        size: [usize; 2],
        sigma: [f64; 2],
    },
    Sharpen(f64),
    /// Pillow's blur of that deviation.
    BoxBlur(f64),
    /// A value a channel, 0..=255 for bytes.
    Erase {
        window: Window,
        value: [f32; 3],
    },
    /// Normal numbers.
    EraseWithNoise {
        window: Window,
        key: Key,
    },
    Warp(Warp),
    /// So many quarter turns, counter-clockwise.
    RotateQuarters(usize),
    /// Mean and deviation in parts of the image's bound.
    Noise {
        mean: f32,
        sigma: f32,
        clip: bool,
        key: Key,
    },
    PermuteChannels([usize; 3]),
    /// So many patches of a side take a value.
    HidePatches {
        side: usize,
        hidden: usize,
        value: f32,
        key: Key,
    },
}

impl Operation {
    /// What an image of `extent` is afterwards.
    pub fn leaves(&self, extent: Extent) -> Extent {
        match *self {
            Self::Crop { height, width, .. } | Self::Resize { height, width, .. } => Extent { height, width, ..extent },
            Self::Warp(Warp { height, width, .. }) => Extent { height, width, ..extent },
            Self::RotateQuarters(turns) if turns % 2 == 1 => {
                Extent { height: extent.width, width: extent.height, ..extent }
            }
            Self::Pixel(PixelOp::ToGrey) => Extent { channels: 1, ..extent },
            Self::Pixel(PixelOp::ToRgb) => Extent { channels: 3, ..extent },
            _ => extent,
        }
    }
}

/// An image to start from.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    Bytes(Source<'a, u8>),
    Floats(Source<'a, f32>),
}

impl Input<'_> {
    pub fn extent(&self) -> Extent {
        match self {
            Self::Bytes(source) => source.extent(),
            Self::Floats(source) => source.extent(),
        }
    }
}

/// The image that `execute` leaves in its scratch memory.
pub enum Outcome<'a> {
    Bytes(&'a Planes<u8>),
    Floats(&'a Planes<f32>),
}

/// Memory that is used again from image to image; one a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Lane<u8>,
    floats: Lane<f32>,
    blur: BlurScratch,
}

#[derive(Debug, Default)]
struct Lane<T> {
    current: Planes<T>,
    next: Planes<T>,
    resample: ResampleScratch<T>,
}

/// Does `operations` to `input` and returns the result, channels apart.
///
/// # Errors
/// `Error::Argument` where an operation does not fit the image it meets (named in the message).
pub fn execute<'a>(input: Input<'_>, operations: &[Operation], scratch: &'a mut Scratch) -> Result<Outcome<'a>> {
    let mut executor = Executor::new(input, scratch);
    executor.perform(operations)?;
    executor.flush(false);
    let whole = executor.whole;
    Ok(if whole { Outcome::Bytes(&scratch.bytes.current) } else { Outcome::Floats(&scratch.floats.current) })
}

/// As [`execute`], written as floats `[height, width, channels]` into `out`.
///
/// # Errors
/// Also `Error::Argument` where the result is not floats, and `Error::Shape` where it does not fill `out`.
pub fn execute_into(input: Input<'_>, operations: &[Operation], scratch: &mut Scratch, out: &mut [f32]) -> Result<()> {
    let mut executor = Executor::new(input, scratch);
    executor.perform(operations)?;
    executor.finish(out)
}

struct Executor<'a, 'b> {
    /// The image as it came, until something has been done to it.
    input: Option<Input<'b>>,
    scratch: &'a mut Scratch,
    /// Pixel operations that wait to be done in one pass, and what they lead to.
    pending: Vec<PixelOp>,
    channels: usize,
    /// Whether the image is bytes, before and after the pending operations.
    stored_whole: bool,
    whole: bool,
}

impl<'a, 'b> Executor<'a, 'b> {
    fn new(input: Input<'b>, scratch: &'a mut Scratch) -> Self {
        let (channels, whole) = match &input {
            Input::Bytes(source) => (source.channels, true),
            Input::Floats(source) => (source.channels, false),
        };
        Self { input: Some(input), scratch, pending: Vec::new(), channels, stored_whole: whole, whole }
    }

    fn perform(&mut self, operations: &[Operation]) -> Result<()> {
        let mut i = 0;
        while i < operations.len() {
            let operation = operations[i];
            i += 1;
            match operation {
                Operation::Pixel(op) => self.pixel(op)?,
                Operation::Contrast(factor) => {
                    let mean = self.flush(true);
                    self.pending.push(PixelOp::Contrast(factor, mean));
                }
                Operation::Resize { .. } => {
                    let mirrored = operations.get(i) == Some(&Operation::FlipHorizontal);
                    i += usize::from(mirrored);
                    self.move_pixels(operation, mirrored)?;
                }
                _ => self.move_pixels(operation, false)?,
            }
        }
        Ok(())
    }

    fn pixel(&mut self, op: PixelOp) -> Result<()> {
        match op {
            PixelOp::ToFloats => self.whole = false,
            PixelOp::ToBytes => self.whole = true,
            PixelOp::Normalize(..) => {
                ensure!(!self.whole, Argument, "normalize: the image is bytes; make it floats first (toImage)");
            }
            PixelOp::ToGrey => self.channels = 1,
            PixelOp::ToRgb => self.channels = 3,
            PixelOp::Contrast(..) => bail!(Internal, "a contrast whose mean is already known"),
            _ => {}
        }
        self.pending.push(op);
        Ok(())
    }

    /// Does the pending pixel operations; returns the grey mean if it is wanted.
    fn flush(&mut self, mean: bool) -> f32 {
        self.load();
        let channels = self.channels;
        let Scratch { bytes, floats, .. } = &mut *self.scratch;
        let changes = !self.pending.is_empty();
        let grey = if !changes && !mean {
            0.0
        } else if self.stored_whole {
            let sink = match (changes, self.whole) {
                (false, _) => Sink::Nothing,
                (true, true) => Sink::Bytes(&mut bytes.next),
                (true, false) => Sink::Floats(&mut floats.next),
            };
            run(&bytes.current, &self.pending, channels, mean, sink)
        } else {
            let sink = match (changes, self.whole) {
                (false, _) => Sink::Nothing,
                (true, true) => Sink::Bytes(&mut bytes.next),
                (true, false) => Sink::Floats(&mut floats.next),
            };
            run(&floats.current, &self.pending, channels, mean, sink)
        };
        if changes {
            if self.whole {
                std::mem::swap(&mut bytes.current, &mut bytes.next);
            } else {
                std::mem::swap(&mut floats.current, &mut floats.next);
            }
        }
        self.pending.clear();
        self.stored_whole = self.whole;
        grey
    }

    /// Copies an untouched input into the scratch memory.
    fn load(&mut self) {
        match self.input.take() {
            Some(Input::Bytes(source)) => source.read_into(&mut self.scratch.bytes.current),
            Some(Input::Floats(source)) => source.read_into(&mut self.scratch.floats.current),
            None => {}
        }
    }

    /// The last pass, straight into `out`.
    fn finish(mut self, out: &mut [f32]) -> Result<()> {
        ensure!(!self.whole, Argument, "augmentation: the image is still bytes at the end; add toImage");
        self.load();
        let Scratch { bytes, floats, .. } = &*self.scratch;
        let (width, height) = if self.stored_whole {
            (bytes.current.width, bytes.current.height)
        } else {
            (floats.current.width, floats.current.height)
        };
        ensure!(
            out.len() == width * height * self.channels,
            Shape,
            "augmentation: an image became {}x{height}x{width} (channels x height x width), {} numbers were expected",
            self.channels,
            out.len()
        );
        if self.stored_whole {
            run(&bytes.current, &self.pending, self.channels, false, Sink::Interleaved(out));
        } else {
            run(&floats.current, &self.pending, self.channels, false, Sink::Interleaved(out));
        }
        Ok(())
    }

    /// Operations that need whole rows: everything pending is done first.
    fn move_pixels(&mut self, operation: Operation, mirrored: bool) -> Result<()> {
        if !self.pending.is_empty() {
            self.flush(false);
        }
        let Scratch { bytes, floats, blur } = &mut *self.scratch;
        let followed_by = match self.input.take() {
            Some(Input::Bytes(source)) => move_in(operation, mirrored, Some(source), bytes, blur)?,
            Some(Input::Floats(source)) => move_in(operation, mirrored, Some(source), floats, blur)?,
            None if self.whole => move_in(operation, mirrored, None, bytes, blur)?,
            None => move_in(operation, mirrored, None, floats, blur)?,
        };
        self.pending.extend(followed_by);
        Ok(())
    }
}

/// One operation on the image in `lane` (or still in `source`); returns the pixel operation that completes it, if any.
fn move_in<T: Resample>(
    operation: Operation,
    mirrored: bool,
    source: Option<Source<'_, T>>,
    lane: &mut Lane<T>,
    blur: &mut BlurScratch,
) -> Result<Option<PixelOp>> {
    let Lane { current, next, resample: scratch } = lane;
    match operation {
        Operation::Crop { .. } | Operation::FlipHorizontal | Operation::FlipVertical | Operation::Resize { .. } => {
            let from = source.unwrap_or_else(|| current.as_source());
            move_from(operation, mirrored, &from, scratch, next)?;
            std::mem::swap(current, next);
            return Ok(None);
        }
        Operation::Warp(_) | Operation::RotateQuarters(_) => {
            if let Some(source) = source {
                source.read_into(current);
            }
            std::mem::swap(current, next);
            match operation {
                Operation::Warp(map) => warp(next, &map, current)?,
                Operation::RotateQuarters(turns) => rotate_quarters(next, turns, current),
                _ => {}
            }
            return Ok(None);
        }
        _ => {}
    }
    if let Some(source) = source {
        source.read_into(current);
    }
    match operation {
        Operation::Autocontrast => return Ok(Some(autocontrast(current))),
        Operation::Equalize => equalize(current),
        Operation::Erase { window, value } => erase(current, window, value),
        Operation::EraseWithNoise { window, key } => erase_with_noise(current, window, key),
        Operation::BoxBlur(sigma) => box_blur(current, sigma),
        Operation::Noise { mean, sigma, clip, key } => add_noise(current, mean, sigma, clip, key),
        Operation::HidePatches { side, hidden, value, key } => hide_patches(current, side, hidden, value, key),
        Operation::PermuteChannels(order) => {
            permute_channels(current, order, next);
            std::mem::swap(current, next);
        }
        Operation::Blur { size, sigma } => {
            gaussian_blur(current, size, sigma, blur, next)?;
            std::mem::swap(current, next);
        }
        Operation::Sharpen(factor) => {
            sharpen(current, factor, next);
            std::mem::swap(current, next);
        }
        _ => bail!(Internal, "{operation:?} moves no pixels"),
    }
    Ok(None)
}

fn move_from<T: Resample>(
    operation: Operation,
    mirrored: bool,
    from: &Source<'_, T>,
    scratch: &mut ResampleScratch<T>,
    next: &mut Planes<T>,
) -> Result<()> {
    match operation {
        Operation::Crop { top, left, height, width, padding } => {
            let (rows, columns) =
                (places(from.height, top, height, padding)?, places(from.width, left, width, padding)?);
            let fill = if let Padding::Constant(fill) = padding { fill } else { 0.0 };
            gather(from, &rows, &columns, T::stored(fill), next);
        }
        Operation::Resize { window, height, width, interpolation, antialias } => {
            let window = window.unwrap_or(Window::whole(from.width, from.height));
            resample(from, &Resampling { window, height, width, interpolation, antialias, mirrored }, scratch, next)?;
        }
        flip => {
            let rows = flipped_places(from.height, flip == Operation::FlipVertical);
            let columns = flipped_places(from.width, flip == Operation::FlipHorizontal);
            gather(from, &rows, &columns, T::stored(0.0), next);
        }
    }
    Ok(())
}
