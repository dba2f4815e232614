//! Compiled kernels by key. A kernel is WGSL text that is compiled the first time its key is seen.

use super::cache::PipelineCache;
use super::context::{Gpu, lock};
use crate::error::Result;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Names that every kernel has: its parameters, tests for NaN, 64-bit integers and bytes.
pub const PRELUDE: &str = include_str!("prelude.wgsl");

/// Buffers a kernel at most, if the adapter allows as many.
pub const BINDINGS: usize = 64;

/// A kernel's WGSL (with an entry point `main`) and what distinguishes it: equal keys mean equal texts.
pub struct Source<'a> {
    pub key: &'a str,
    pub wgsl: &'a dyn Fn() -> String,
}

#[derive(Default)]
pub(super) struct Pipelines {
    compiled: HashMap<(String, u128), Arc<Pipeline>>,
    layouts: HashMap<u128, (wgpu::BindGroupLayout, wgpu::PipelineLayout)>,
}

pub(super) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// `access`: two bits a binding, from the lowest on: 1 read, 2 written.
    pub(super) fn pipeline(&self, source: &Source, access: u128) -> Result<Arc<Pipeline>> {
        let mut pipelines = lock(&self.pipelines);
        let key = (source.key.to_string(), access);
        if let Some(found) = pipelines.compiled.get(&key) {
            return Ok(found.clone());
        }
        let (layout, whole) = pipelines.layouts.entry(access).or_insert_with(|| layout(&self.device, access)).clone();
        let text = format!("{PRELUDE}\n{}", (source.wgsl)());
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(source.key), source: wgpu::ShaderSource::Wgsl(text.into()) };
        // SAFETY: our own kernels, which compare every index with the sizes they were given; the suite runs each.
        let module =
            unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let raw = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(source.key),
            layout: Some(&whole),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                // Kernels write what they read from workgroup memory.
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: self.pipeline_cache.as_ref().map(|cache| &cache.raw),
        });
        self.check(&format!("compiling kernel {}", source.key))?;
        self.pipeline_cache.iter().for_each(PipelineCache::grown);
        self.counters.pipelines.fetch_add(1, Relaxed);
        let pipeline = Arc::new(Pipeline { raw, layout });
        pipelines.compiled.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

/// Binding 0 holds the parameters; bindings from 1 on are buffers.
fn layout(device: &wgpu::Device, access: u128) -> (wgpu::BindGroupLayout, wgpu::PipelineLayout) {
    let entry = |binding: u32, ty: wgpu::BufferBindingType, has_dynamic_offset: bool| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
    for binding in 0..BINDINGS as u32 {
        match (access >> (2 * binding)) & 3 {
            0 => break,
            kind => {
                let read_only = kind == 1;
                entries.push(entry(binding + 1, wgpu::BufferBindingType::Storage { read_only }, false));
            }
        }
    }
    let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries });
    let whole = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    });
    (group, whole)
}
