//! Where tensors live and operations run: the CPU, or a GPU opened by name. It knows neither tensors nor operations.

use crate::error::Result;
#[cfg(feature = "gpu")]
use crate::gpu::Gpu;
use std::cell::RefCell;
#[cfg(feature = "gpu")]
use std::sync::Arc;

/// A device. Cloning shares it.
#[derive(Clone, Default)]
pub enum Device {
    #[default]
    Cpu,
    #[cfg(feature = "gpu")]
    Gpu(Arc<Gpu>),
}

thread_local! {
    static CURRENT: RefCell<Device> = const { RefCell::new(Device::Cpu) };
}

impl Device {
    /// `cpu`; `gpu` (the best adapter); `gpu:1` (by its number) or `gpu:name` (a part of its name). Opens it if need be.
    pub fn parse(name: &str) -> Result<Device> {
        if name == "cpu" {
            return Ok(Device::Cpu);
        }
        let Some(selector) = name.strip_prefix("gpu").filter(|rest| rest.is_empty() || rest.starts_with(':')) else {
            crate::bail!(Argument, "\"{name}\" is no device; there are cpu, gpu, gpu:1 (a number) and gpu:name");
        };
        #[cfg(feature = "gpu")]
        return Ok(Device::Gpu(crate::gpu::open(selector.strip_prefix(':'))?));
        #[cfg(not(feature = "gpu"))]
        crate::bail!(Unsupported, "{name}: this build of the core has no GPU device (feature gpu){selector:.0}");
    }

    /// `cpu` or `gpu:0`.
    pub fn name(&self) -> String {
        match self {
            Device::Cpu => "cpu".to_string(),
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu) => gpu.name(),
        }
    }

    pub fn is_cpu(&self) -> bool {
        matches!(self, Device::Cpu)
    }

    /// The device on which this thread makes tensors now.
    pub fn current() -> Device {
        CURRENT.with_borrow(Device::clone)
    }

    /// Makes this the device of new tensors of this thread; returns what it was.
    pub fn set_current(device: Device) -> Device {
        CURRENT.replace(device)
    }

    /// Runs with this as the device of new tensors.
    pub fn scoped<R>(self, run: impl FnOnce() -> R) -> R {
        struct Restore(Device);
        impl Drop for Restore {
            fn drop(&mut self) {
                Device::set_current(std::mem::take(&mut self.0));
            }
        }
        let _restore = Restore(Device::set_current(self));
        run()
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Cpu, Device::Cpu) => true,
            #[cfg(feature = "gpu")]
            (Device::Gpu(a), Device::Gpu(b)) => Arc::ptr_eq(a, b),
            #[cfg(feature = "gpu")]
            _ => false,
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
