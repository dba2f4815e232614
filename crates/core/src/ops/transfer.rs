//! Tensors on their way between devices. A tensor keeps its order in memory; gradients travel back.

use crate::device::Device;
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::{kernel, movement};
#[cfg(feature = "gpu")]
use crate::shape::Layout;
#[cfg(feature = "gpu")]
use crate::storage::{Buffer, Storage};
use crate::tensor::Tensor;
#[cfg(feature = "gpu")]
use std::sync::Arc;

/// The same values on another device: itself if it is there. Reading from a GPU waits for it.
pub fn to_device(x: &Tensor, device: &Device) -> Result<Tensor> {
    let from = x.device()?;
    if from == *device {
        return Ok(x.clone());
    }
    // Between two GPUs by way of the CPU.
    if !from.is_cpu() && !device.is_cpu() {
        return to_device(&to_device(x, &Device::Cpu)?, device);
    }
    apply_one(Transfer { from, to: device.clone() }, &[x])
}

/// Moves a tensor that the user made, and its gradient, keeping its identity: modules and optimizers that hold it see
/// the new memory. Its values are dense afterwards, whatever views of the old memory there are.
pub fn move_in_place(x: &Tensor, device: &Device) -> Result<()> {
    if x.device()? == *device {
        return Ok(());
    }
    crate::ensure!(
        x.is_leaf(),
        Autograd,
        "a computed tensor cannot be moved in place; use .to('{}'), which gradients flow through",
        device.name()
    );
    crate::ensure!(
        x.layout().is_dense() && x.layout().offset == 0,
        Unsupported,
        "moving in place needs a tensor with memory of its own, not a view with strides {:?}; clone() it first",
        x.strides()
    );
    let gradient = x.grad();
    let moved = to_device(&x.detach()?, device)?;
    *x.inner.storage.borrow_mut() = Some(moved.storage()?);
    if let Some(gradient) = gradient {
        x.set_grad(Some(to_device(&gradient.detach()?, device)?))?;
    }
    Ok(())
}

struct Transfer {
    from: Device,
    #[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "there is nowhere to go"))]
    to: Device,
}

impl Op for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    /// From the CPU.
    #[cfg(feature = "gpu")]
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let Device::Gpu(gpu) = &self.to else { return Ok(vec![inputs[0].detach()?]) };
        kernel::supported(inputs[0].dtype())?;
        let x = movement::dense(&inputs[0].detach()?)?;
        let (host, size) = (x.storage()?, x.dtype().size());
        // A view without elements may lie behind the end of its storage.
        let first = if x.numel() == 0 { 0 } else { x.layout().offset * size };
        let storage = Storage::on_gpu(gpu.upload(&host.slice::<u8>()[first..first + x.numel() * size], "transfer")?);
        let layout = Layout { offset: 0, ..x.layout().clone() };
        Ok(vec![Tensor::new(Arc::new(storage), layout, x.dtype())])
    }

    /// To the CPU.
    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        let (reading, layout) = begin_reading(inputs[0])?;
        let mut out = Buffer::<u8>::new(layout.numel() * inputs[0].dtype().size())?;
        reading.wait(|found| out.copy_from_slice(found))?;
        Ok(vec![Tensor::new(Arc::new(out.into_storage()), layout, inputs[0].dtype())])
    }

    #[cfg(not(feature = "gpu"))]
    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![inputs[0].detach()?])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(to_device(pass.grad(), &self.from)?)])
    }
}

/// A read of all elements of a tensor on a GPU, that has begun, and the dense layout in which they come.
#[cfg(feature = "gpu")]
pub struct TensorReading {
    reading: crate::gpu::Reading,
    /// Bytes before the first element.
    skip: usize,
    bytes: usize,
}

#[cfg(feature = "gpu")]
impl TensorReading {
    /// Waits, on whatever thread, and hands out the elements' bytes.
    pub fn wait<R>(self, take: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.reading.wait(|found| take(&found[self.skip..self.skip + self.bytes]))
    }
}

/// Submits what was recorded and begins to read; waits for nothing.
#[cfg(feature = "gpu")]
pub fn begin_reading(x: &Tensor) -> Result<(TensorReading, Layout)> {
    let gpu = kernel::gpu_of(x)?;
    let x = movement::dense(&x.detach()?)?;
    let layout = Layout { offset: 0, ..x.layout().clone() };
    let size = x.dtype().size();
    let first = if x.numel() == 0 { 0 } else { x.layout().offset * size };
    let (start, bytes) = (first / 4 * 4, x.numel() * size);
    let storage = x.storage()?;
    let buffer = storage.gpu().expect("a tensor of a GPU");
    let reading = gpu.read(buffer, start as u64, (first - start + bytes) as u64, "reading a tensor")?;
    Ok((TensorReading { reading, skip: first - start, bytes }, layout))
}
