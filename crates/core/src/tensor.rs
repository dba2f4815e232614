//! The tensor: a layout over shared storage, and its place in the graph. Arithmetic lives in `ops`.

use crate::autograd::Node;
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::shape::{Dims, Layout, channels_last_strides, contiguous_strides};
use crate::storage::{Buffer, Storage};
use crate::{bail, ensure, scope};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// An n-dimensional array. Cloning shares the memory; writing in place is for parameters and buffers only
/// (see [`Tensor::update`]). A tensor belongs to the thread that made it; its storage may travel.
#[cfg_attr(feature = "node", napi_derive::napi)]
#[derive(Clone)]
pub struct Tensor {
    pub(crate) inner: Rc<Inner>,
}

/// What the handles of one tensor share.
pub struct Inner {
    pub(crate) layout: Layout,
    pub(crate) dtype: DType,
    /// None once a scope or `dispose` has freed it.
    pub(crate) storage: RefCell<Option<Arc<Storage>>>,
    pub(crate) requires_grad: Cell<bool>,
    /// The operation that made it, and which of its results it is.
    pub(crate) origin: RefCell<Option<(Rc<Node>, usize)>>,
    pub(crate) grad: RefCell<Option<Tensor>>,
    /// Survives the scope it was made in.
    pub(crate) kept: Cell<bool>,
}

impl Tensor {
    pub(crate) fn new(storage: Arc<Storage>, layout: Layout, dtype: DType) -> Tensor {
        let inner = Rc::new(Inner {
            layout,
            dtype,
            storage: RefCell::new(Some(storage)),
            requires_grad: Cell::new(false),
            origin: RefCell::new(None),
            grad: RefCell::new(None),
            kept: Cell::new(false),
        });
        scope::register(&inner);
        Tensor { inner }
    }

    /// Takes a buffer as a row-major tensor of that shape.
    pub fn from_buffer<T: Element>(buffer: Buffer<T>, shape: &[usize]) -> Tensor {
        Self::from_buffer_strided(buffer, shape, contiguous_strides(shape), T::DTYPE)
    }

    /// Takes a buffer of bytes 0 and 1 as truth values.
    pub fn from_truth(buffer: Buffer<u8>, shape: &[usize]) -> Tensor {
        Self::from_buffer_strided(buffer, shape, contiguous_strides(shape), DType::Bool)
    }

    /// Takes a buffer as a dense tensor with the given strides.
    pub fn from_buffer_strided<T: Element>(buffer: Buffer<T>, shape: &[usize], strides: Dims, dtype: DType) -> Tensor {
        let layout = Layout { shape: Dims::from_slice(shape), strides, offset: 0 };
        assert_eq!(buffer.len(), layout.numel(), "a buffer of that many elements for {shape:?}");
        Tensor::new(Arc::new(buffer.into_storage()), layout, dtype)
    }

    pub fn from_slice<T: Element>(values: &[T], shape: &[usize]) -> Result<Tensor> {
        let numel: usize = shape.iter().product();
        ensure!(values.len() == numel, Shape, "{} values do not fill the shape {shape:?} ({numel})", values.len());
        let mut buffer = Buffer::new(numel)?;
        buffer.copy_from_slice(values);
        Ok(Self::from_buffer(buffer, shape))
    }

    pub fn scalar<T: Element>(value: T) -> Result<Tensor> {
        Self::from_slice(&[value], &[])
    }

    /// Every element `value`, on the current device.
    pub fn full(shape: &[usize], value: f64, dtype: DType) -> Result<Tensor> {
        Self::full_on(&Device::current(), shape, value, dtype)
    }

    pub fn full_on(device: &Device, shape: &[usize], value: f64, dtype: DType) -> Result<Tensor> {
        #[cfg(feature = "gpu")]
        if let Device::Gpu(gpu) = device {
            return crate::ops::movement_gpu::full(gpu, Layout::contiguous(shape), value, dtype);
        }
        debug_assert!(device.is_cpu());
        let numel: usize = shape.iter().product();
        crate::dispatch_all!(dtype, T => {
            let value = if dtype == DType::Bool { T::from_i64((value != 0.0) as i64) } else { T::from_f64(value) };
            Ok(Self::from_buffer_strided(Buffer::<T>::filled(numel, value)?, shape, contiguous_strides(shape), dtype))
        })
    }

    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
        Self::full(shape, 0.0, dtype)
    }

    /// Zeros of the same shape, type and order in memory.
    pub fn zeros_like(&self) -> Result<Tensor> {
        #[cfg(feature = "gpu")]
        if let Device::Gpu(gpu) = self.device()? {
            let layout = Layout { strides: self.layout().dense_strides(), offset: 0, ..self.layout().clone() };
            return crate::ops::movement_gpu::full(&gpu, layout, 0.0, self.dtype());
        }
        crate::dispatch_all!(self.dtype(), T => Ok(Self::from_buffer_strided(
            Buffer::<T>::zeroed(self.numel())?, self.shape(), self.inner.layout.dense_strides(), self.dtype())))
    }

    pub fn shape(&self) -> &[usize] {
        &self.inner.layout.shape
    }

    pub fn strides(&self) -> &[usize] {
        &self.inner.layout.strides
    }

    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    pub fn ndim(&self) -> usize {
        self.inner.layout.ndim()
    }

    pub fn numel(&self) -> usize {
        self.inner.layout.numel()
    }

    pub fn storage(&self) -> Result<Arc<Storage>> {
        match &*self.inner.storage.borrow() {
            Some(storage) => Ok(storage.clone()),
            None => Err(Error::Disposed(format!(
                "this tensor of shape {:?} was freed when its scope ended (or by dispose); \
                 return it from the scope or call keep() on it",
                self.shape()
            ))),
        }
    }

    /// Where its memory lies. ERR_DISPOSED once it was freed.
    pub fn device(&self) -> Result<Device> {
        Ok(self.storage()?.device())
    }

    pub fn is_host(&self) -> bool {
        self.inner.storage.borrow().as_ref().is_none_or(|storage| storage.is_host())
    }

    /// Another view of the same memory, outside the graph.
    pub fn alias(&self, layout: Layout) -> Result<Tensor> {
        Ok(Tensor::new(self.storage()?, layout, self.dtype()))
    }

    /// The whole storage; element `i` of the tensor is at `layout().offset + Σ i[d]·strides[d]`.
    /// Panics if the tensor was freed (`op::apply` checks before) or stores another type.
    pub fn storage_slice<T: Element>(&self) -> &[T] {
        assert!(T::stores(self.dtype()), "{} read as {}", self.dtype().name(), T::DTYPE.name());
        let storage = self.inner.storage.borrow();
        let slice = storage.as_ref().expect("a freed tensor was checked for before").slice::<T>();
        // SAFETY: the storage lives while a handle holds it; it is taken out only by `dispose`, which no kernel calls.
        unsafe { std::slice::from_raw_parts(slice.as_ptr(), slice.len()) }
    }

    /// The elements in memory order. Panics unless the tensor is dense.
    pub fn slice<T: Element>(&self) -> &[T] {
        assert!(self.inner.layout.is_dense(), "a dense tensor, not strides {:?}", self.strides());
        if self.numel() == 0 {
            return &[];
        }
        let offset = self.inner.layout.offset;
        &self.storage_slice::<T>()[offset..offset + self.numel()]
    }

    /// Writes in place into a dense tensor and raises its version, so that a graph that needed the old value says so.
    /// For parameters, optimizer state and running statistics. The closure must not read this tensor in another way.
    pub fn update<T: Element, R>(&self, write: impl FnOnce(&mut [T]) -> R) -> Result<R> {
        ensure!(
            self.inner.layout.is_dense(),
            Unsupported,
            "writing in place needs a dense tensor, not shape {:?} with strides {:?}",
            self.shape(),
            self.strides()
        );
        ensure!(
            T::stores(self.dtype()),
            Dtype,
            "in-place write of {} into a {} tensor",
            T::DTYPE.name(),
            self.dtype().name()
        );
        let storage = self.storage()?;
        ensure!(storage.is_host(), Unsupported, "writing in place on {} from the CPU", storage.device().name());
        storage.raise_version();
        let numel = self.numel();
        // A view without elements may lie behind the end of its storage.
        let offset = if numel == 0 { 0 } else { self.inner.layout.offset };
        // SAFETY: tensors of one storage live on one thread, and no slice is held across a call that updates.
        let all = unsafe { storage.slice_mut::<T>() };
        Ok(write(&mut all[offset..offset + numel]))
    }

    /// All elements in row-major order, copied.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if !self.device()?.is_cpu() {
            return crate::ops::transfer::to_device(&self.detach()?, &Device::Cpu)?.to_vec();
        }
        let dense = self.contiguous()?;
        Ok(dense.slice::<T>().to_vec())
    }

    /// The only element.
    pub fn to_scalar(&self) -> Result<f64> {
        ensure!(
            self.numel() == 1,
            Shape,
            "item: the tensor has {} elements (shape {:?}), not 1",
            self.numel(),
            self.shape()
        );
        if !self.device()?.is_cpu() {
            return crate::ops::transfer::to_device(&self.detach()?, &Device::Cpu)?.to_scalar();
        }
        let offset = self.inner.layout.offset;
        Ok(crate::dispatch_all!(self.dtype(), T => self.storage_slice::<T>()[offset].to_f64()))
    }

    pub fn is_contiguous(&self) -> bool {
        self.inner.layout.is_contiguous()
    }

    pub fn is_channels_last(&self) -> bool {
        self.inner.layout.is_channels_last()
    }

    /// Row-major strides of this shape, or those of channels last.
    pub fn strides_for(shape: &[usize], channels_last: bool) -> Dims {
        if channels_last { channels_last_strides(shape) } else { contiguous_strides(shape) }
    }

    /// Frees the memory now. Whoever uses this tensor afterwards gets ERR_DISPOSED.
    pub fn free(&self) {
        self.inner.free();
    }

    pub fn detach(&self) -> Result<Tensor> {
        self.alias(self.inner.layout.clone())
    }

    pub fn requires_grad(&self) -> bool {
        self.inner.requires_grad.get()
    }

    pub fn is_leaf(&self) -> bool {
        self.inner.origin.borrow().is_none()
    }

    pub fn set_requires_grad(&self, value: bool) -> Result<()> {
        if value && !self.dtype().is_float() {
            bail!(Autograd, "only float tensors can require gradients, this one is {}", self.dtype().name());
        }
        if !value && !self.is_leaf() {
            bail!(Autograd, "requires_grad of a computed tensor cannot be switched off; use detach()");
        }
        self.inner.requires_grad.set(value);
        Ok(())
    }

    pub fn grad(&self) -> Option<Tensor> {
        self.inner.grad.borrow().clone()
    }

    /// Replaces the gradient; it then lives as long as this tensor.
    pub fn set_grad(&self, grad: Option<Tensor>) -> Result<()> {
        if let Some(g) = &grad {
            let (own, other) = (self.device()?, g.device()?);
            ensure!(own == other, Device, "a gradient on {other:?} for a tensor on {own:?}");
            ensure!(
                g.shape() == self.shape() && g.dtype() == self.dtype(),
                Shape,
                "a gradient of shape {:?} ({}) for a tensor of shape {:?} ({})",
                g.shape(),
                g.dtype().name(),
                self.shape(),
                self.dtype().name()
            );
            g.inner.kept.set(true);
        }
        *self.inner.grad.borrow_mut() = grad;
        Ok(())
    }
}

impl Inner {
    pub(crate) fn free(&self) {
        self.storage.borrow_mut().take();
        self.grad.borrow_mut().take();
        let origin = self.origin.borrow_mut().take();
        drop(origin);
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?}, {})", self.shape(), self.dtype().name())
    }
}
