//! Pipelines on batches that are tensors, on any device, at the border.

use super::Result;
use super::image::JsPipeline;
use super::image_batch::{RecordedStep, recorded};
use crate::ops::augment::augment;
use crate::tensor::Tensor;
use napi::bindgen_prelude::Float64Array;
use napi_derive::napi;

/// A batch that a pipeline made.
#[napi(object, object_from_js = false)]
pub struct AugmentedBatch {
    /// float32 [batch, channel, height, width], on the device of what it was made of.
    pub images: Tensor,
    /// What was drawn, [batch, numbers], one step after the other.
    pub record: Float64Array,
    /// What the steps record.
    pub recorded: Vec<RecordedStep>,
}

#[napi]
impl JsPipeline {
    /// Images float32 [batch, channel, height, width] of 1 or 3 channels, where they lie: on the CPU by all threads, on a GPU in a
    /// number of dispatches that does not grow with the batch, without reading anything back. What is drawn for image i is a function of
    /// (seed, epoch, samples[i]) alone.
    #[napi]
    pub fn augment(&self, images: &Tensor, seed: f64, epoch: u32, samples: Vec<f64>) -> Result<AugmentedBatch> {
        let steps = self.steps.borrow();
        let samples: Vec<u64> = samples.into_iter().map(|sample| sample as u64).collect();
        let made = augment(images, &steps, seed as u64, epoch, &samples)?;
        let recorded = recorded(&steps, &made.records);
        Ok(AugmentedBatch { images: made.images, record: Float64Array::new(made.record), recorded })
    }
}
