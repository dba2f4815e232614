//! Which GPUs there are, and which one a name means. Hardware comes before software; nothing here reads the environment.

use super::context::{Gpu, GpuLimits, lock};
use crate::bail;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What a person sees of an adapter.
#[derive(Debug, Clone)]
pub struct AdapterDescription {
    /// The number in `gpu:0`.
    pub index: usize,
    pub name: String,
    /// vulkan, metal or dx12.
    pub backend: String,
    /// discrete, integrated, virtual, software or other.
    pub kind: String,
    pub driver: String,
    /// Runs on the CPU: for tests, never taken unless asked for.
    pub software: bool,
    pub limits: GpuLimits,
    /// Of those that are used where they are there: f16, subgroups, timestamps.
    pub features: Vec<&'static str>,
}

/// The drivers are asked once a process.
fn all() -> &'static [wgpu::Adapter] {
    static ALL: OnceLock<Vec<wgpu::Adapter>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut options = wgpu::InstanceDescriptor::new_without_display_handle();
        options.backends = wgpu::Backends::PRIMARY;
        options.flags = wgpu::InstanceFlags::empty();
        let instance = wgpu::Instance::new(options);
        let mut found = ready(instance.enumerate_adapters(wgpu::Backends::PRIMARY));
        found.sort_by_key(|adapter| rank(adapter.get_info().device_type));
        found
    })
}

fn rank(kind: wgpu::DeviceType) -> usize {
    use wgpu::DeviceType::*;
    match kind {
        DiscreteGpu => 0,
        IntegratedGpu => 1,
        VirtualGpu => 2,
        Other => 3,
        Cpu => 4,
    }
}

/// Every adapter of this machine, hardware first.
pub fn adapters() -> Vec<AdapterDescription> {
    all().iter().enumerate().map(|(index, adapter)| describe(index, adapter)).collect()
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> AdapterDescription {
    let info = adapter.get_info();
    let known = [
        ("f16", wgpu::Features::SHADER_F16),
        ("subgroups", wgpu::Features::SUBGROUP),
        ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
    ];
    let features = adapter.features();
    let equal = info.subgroup_min_size == info.subgroup_max_size;
    let subgroup = if equal && features.contains(wgpu::Features::SUBGROUP) { info.subgroup_min_size } else { 0 };
    let kind = ["discrete", "integrated", "virtual", "other", "software"][rank(info.device_type)];
    AdapterDescription {
        index,
        name: info.name.clone(),
        backend: info.backend.to_string(),
        kind: kind.to_string(),
        driver: [&info.driver[..], &info.driver_info[..]].join(" ").trim().to_string(),
        software: info.device_type == wgpu::DeviceType::Cpu,
        limits: GpuLimits::of(&adapter.limits(), subgroup),
        features: known.iter().filter(|(_, flag)| features.contains(*flag)).map(|(name, _)| *name).collect(),
    }
}

static OPEN: Mutex<BTreeMap<usize, Arc<Gpu>>> = Mutex::new(BTreeMap::new());

/// Writes what opened devices keep between processes.
pub fn save_caches() {
    for gpu in lock(&OPEN).values() {
        gpu.save_pipelines(Duration::ZERO);
    }
}

/// Opens an adapter: the first if no selector is given, else the one of that number or with that in its name.
/// The same adapter is opened once; a lost one is opened anew.
pub fn open(selector: Option<&str>) -> Result<Arc<Gpu>> {
    let known = adapters();
    let chosen = choose(&known, selector)?;
    let mut open = lock(&OPEN);
    if let Some(gpu) = open.get(&chosen.index).filter(|gpu| !gpu.is_lost()) {
        return Ok(gpu.clone());
    }
    let gpu = Arc::new(Gpu::new(&all()[chosen.index], chosen.clone())?);
    open.insert(chosen.index, gpu.clone());
    Ok(gpu)
}

/// A device that takes every command and runs none: what kernels are validated with where there is no driver. It offers
/// everything wgpu knows of, or (`least`) what WebGPU guarantees and no feature.
#[cfg(all(test, feature = "noop"))]
pub(crate) fn open_noop(least: bool) -> Result<Arc<Gpu>> {
    let mut options = wgpu::InstanceDescriptor::new_without_display_handle();
    options.backends = wgpu::Backends::NOOP;
    options.backend_options.noop = wgpu::NoopBackendOptions {
        enable: true,
        limits: least.then(wgpu::Limits::default),
        features: least.then(wgpu::Features::empty),
        ..Default::default()
    };
    let instance = wgpu::Instance::new(options);
    let found = ready(instance.enumerate_adapters(wgpu::Backends::NOOP));
    let Some(adapter) = found.first() else { bail!(Device, "no adapter that runs nothing") };
    Ok(Arc::new(Gpu::new(adapter, describe(0, adapter))?))
}

/// A device of its own for an adapter, not shared with anybody.
#[cfg(test)]
pub(super) fn open_alone(index: usize) -> Result<Gpu> {
    Gpu::new(&all()[index], adapters()[index].clone())
}

/// As [`open_alone`] the first adapter, taken for what `change` makes of it.
#[cfg(test)]
pub(crate) fn open_as(change: impl FnOnce(&mut AdapterDescription)) -> Result<Arc<Gpu>> {
    let mut description = adapters()[0].clone();
    change(&mut description);
    Ok(Arc::new(Gpu::new(&all()[0], description)?))
}

fn choose<'a>(adapters: &'a [AdapterDescription], selector: Option<&str>) -> Result<&'a AdapterDescription> {
    let names = || {
        let names: Vec<String> = adapters.iter().map(|a| format!("gpu:{} {} ({})", a.index, a.name, a.kind)).collect();
        if names.is_empty() { "none was found".to_string() } else { format!("there are {}", names.join(", ")) }
    };
    let Some(first) = adapters.first() else {
        bail!(
            Device,
            "no GPU: no Vulkan, Metal or DX12 driver offers an adapter. On Linux a GPU needs its Vulkan driver \
             (in containers also NVIDIA_DRIVER_CAPABILITIES=graphics,compute); device cpu needs none"
        )
    };
    let Some(selector) = selector else { return Ok(first) };
    let wanted = selector.to_lowercase();
    let found = match wanted.parse::<usize>() {
        Ok(index) => adapters.get(index),
        Err(_) if wanted == "software" => adapters.iter().find(|a| a.software),
        Err(_) => adapters.iter().find(|a| a.name.to_lowercase().contains(&wanted)),
    };
    found.ok_or_else(|| Error::Device(format!("no GPU \"{selector}\"; {}", names())))
}

/// The value of a future that is ready at once: wgpu's are on native platforms.
pub(super) fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod choice {
    use super::*;

    fn adapter(index: usize, name: &str, software: bool) -> AdapterDescription {
        let kind = if software { "software" } else { "discrete" }.to_string();
        let [name, backend, driver] = [name, "vulkan", ""].map(String::from);
        let limits = GpuLimits::of(&wgpu::Limits::default(), 0);
        AdapterDescription { index, name, backend, kind, driver, software, limits, features: Vec::new() }
    }

    #[test]
    fn by_number_and_by_name() {
        let two = [adapter(0, "NVIDIA H200", false), adapter(1, "llvmpipe (LLVM 15)", true)];
        let index = |selector| choose(&two, selector).map(|a| a.index);
        assert_eq!(index(None), Ok(0));
        assert_eq!(index(Some("1")), Ok(1));
        assert_eq!(index(Some("LLVMpipe")), Ok(1));
        assert_eq!(index(Some("software")), Ok(1));
        let error = index(Some("2")).unwrap_err();
        assert_eq!(error.code(), "ERR_DEVICE");
        assert!(error.message().contains("gpu:1 llvmpipe (LLVM 15) (software)"), "{error}");
        assert_eq!(choose(&[], None).unwrap_err().code(), "ERR_DEVICE");
    }
}
