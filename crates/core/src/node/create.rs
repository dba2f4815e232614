//! Functions of JavaScript that make tensors, or join several.

use super::generator::Generator;
use super::{Result, report_memory};
use crate::device::Device;
use crate::dtype::{DType, Element};
use crate::half::{Bf16, F16};
use crate::ops::{movement, random, transfer};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use napi::Env;
use napi::bindgen_prelude::{
    BigInt64Array, ClassInstance, Either4, Float32Array, Float64Array, Uint8Array, Uint16Array,
};
use napi_derive::napi;

type Data = Either4<Float32Array, Float64Array, BigInt64Array, Uint8Array>;

fn sizes(shape: &[u32]) -> Vec<usize> {
    shape.iter().map(|&s| s as usize).collect()
}

/// The device that is named, or the current one.
fn place(device: Option<String>) -> Result<Device> {
    device.map_or_else(|| Ok(Device::current()), |name| Device::parse(&name))
}

fn parse(dtype: Option<String>) -> Result<DType> {
    dtype.map_or(Ok(DType::F32), |name| DType::parse(&name))
}

/// A tensor of the values (copied), on the default device unless one is named. The dtype follows from the array: float32, float64, int64, uint8; a Uint8Array can
/// also be "bool".
#[napi]
pub fn from_data(
    env: Env,
    data: Data,
    shape: Vec<u32>,
    #[napi(ts_arg_type = "DType")] dtype: Option<String>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let shape = sizes(&shape);
    let device = place(device)?;
    let tensor = match &data {
        Either4::A(values) => Tensor::from_slice::<f32>(values, &shape)?,
        Either4::B(values) => Tensor::from_slice::<f64>(values, &shape)?,
        Either4::C(values) => Tensor::from_slice::<i64>(values, &shape)?,
        Either4::D(values) => Tensor::from_slice::<u8>(values, &shape)?,
    };
    report_memory(&env);
    let tensor = match dtype {
        None => tensor,
        Some(name) => movement::to_dtype(&tensor, DType::parse(&name)?)?,
    };
    transfer::to_device(&tensor, &device)
}

/// A bfloat16 or float16 tensor of those bits.
#[napi]
pub fn from_half_bits(
    env: Env,
    bits: Uint16Array,
    shape: Vec<u32>,
    #[napi(ts_arg_type = "'bfloat16' | 'float16'")] dtype: String,
) -> Result<Tensor> {
    let shape = sizes(&shape);
    let tensor = match DType::parse(&dtype)? {
        DType::BF16 => Tensor::from_slice(&bits.iter().map(|&v| Bf16(v)).collect::<Vec<_>>(), &shape)?,
        DType::F16 => Tensor::from_slice(&bits.iter().map(|&v| F16(v)).collect::<Vec<_>>(), &shape)?,
        other => crate::bail!(Dtype, "fromHalfBits: makes bfloat16 or float16, not {}", other.name()),
    };
    report_memory(&env);
    Ok(tensor)
}

/// Every element `value`; float32 on the default device unless said otherwise.
#[napi]
pub fn full(
    env: Env,
    shape: Vec<u32>,
    value: f64,
    #[napi(ts_arg_type = "DType")] dtype: Option<String>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let tensor = Tensor::full_on(&place(device)?, &sizes(&shape), value, parse(dtype)?)?;
    report_memory(&env);
    Ok(tensor)
}

/// Zeros of the same shape, type and order in memory.
#[napi]
pub fn zeros_like(tensor: &Tensor) -> Result<Tensor> {
    tensor.zeros_like()
}

/// start, start + step, … below end; float32 unless said otherwise.
#[napi]
pub fn arange(
    start: f64,
    end: f64,
    step: f64,
    #[napi(ts_arg_type = "DType")] dtype: Option<String>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let device = place(device)?;
    let dtype = parse(dtype)?;
    crate::ensure!(step != 0.0 && step.is_finite(), Argument, "arange: a step of {step} never arrives");
    let n = ((end - start) / step).ceil().max(0.0) as usize;
    let tensor = crate::dispatch_all!(dtype, T => {
        let mut out = Buffer::<T>::new(n)?;
        for i in 0..n {
            out[i] = T::from_f64(start + step * i as f64);
        }
        Tensor::from_buffer_strided(out, &[n], crate::shape::contiguous_strides(&[n]), dtype)
    });
    transfer::to_device(&tensor, &device)
}

/// Uniform numbers in [0, 1): the same bits on every device.
#[napi]
pub fn rand_from(
    generator: &Generator,
    shape: Vec<u32>,
    #[napi(ts_arg_type = "DType")] dtype: Option<String>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let (dtype, device) = (parse(dtype)?, place(device)?);
    generator.with(|philox| random::rand_on(&device, &sizes(&shape), dtype, philox))
}

/// Normal numbers with mean 0 and variance 1; on a GPU equal to those of the CPU within 4e-6.
#[napi]
pub fn randn_from(
    generator: &Generator,
    shape: Vec<u32>,
    #[napi(ts_arg_type = "DType")] dtype: Option<String>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let (dtype, device) = (parse(dtype)?, place(device)?);
    generator.with(|philox| random::randn_on(&device, &sizes(&shape), dtype, philox))
}

/// Whole numbers in [low, high), int64.
#[napi]
pub fn randint_from(
    generator: &Generator,
    low: i64,
    high: i64,
    shape: Vec<u32>,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let device = place(device)?;
    transfer::to_device(&generator.with(|philox| random::randint(low, high, &sizes(&shape), philox))?, &device)
}

/// 0..n in a random order, int64 [n].
#[napi]
pub fn randperm_from(
    generator: &Generator,
    n: u32,
    #[napi(ts_arg_type = "DeviceName")] device: Option<String>,
) -> Result<Tensor> {
    let device = place(device)?;
    transfer::to_device(&generator.with(|philox| random::randperm(n as usize, philox))?, &device)
}

#[napi]
impl Tensor {
    /// Indices drawn in proportion to these weights [n] or [lines, n]: int64 [.., count].
    #[napi(js_name = "multinomial")]
    pub fn js_multinomial(&self, count: u32, replacement: bool, generator: &Generator) -> Result<Tensor> {
        generator.with(|philox| random::multinomial(self, count as usize, replacement, philox))
    }
}

/// Tensors joined along a dimension that exists (default 0).
#[napi]
pub fn cat(tensors: Vec<ClassInstance<Tensor>>, dim: Option<i64>) -> Result<Tensor> {
    movement::cat(&tensors.iter().map(|t| &**t).collect::<Vec<_>>(), dim.unwrap_or(0))
}

/// Tensors of one shape joined along a new dimension (default 0).
#[napi]
pub fn stack(tensors: Vec<ClassInstance<Tensor>>, dim: Option<i64>) -> Result<Tensor> {
    movement::stack(&tensors.iter().map(|t| &**t).collect::<Vec<_>>(), dim.unwrap_or(0))
}

/// `a` where the condition holds, `b` elsewhere, with broadcasting.
#[napi(js_name = "where")]
pub fn choose(condition: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    movement::where_(condition, a, b)
}
