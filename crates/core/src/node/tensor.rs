//! The JavaScript class `Tensor`: its properties, and the methods whose arguments need converting.

use super::{Result, border, report_memory};
use crate::autograd;
use crate::device::Device;
use crate::dtype::DType;
use crate::half::{Bf16, F16};
use crate::ops::elementwise::{self, Comparison, compare};
use crate::ops::{movement, reduce, transfer};
use crate::tensor::Tensor;
use napi::Env;
use napi::bindgen_prelude::{
    BigInt64Array, Either, Either4, Float32Array, Float64Array, PromiseRaw, Uint8Array, Uint16Array,
};
use napi_derive::napi;

pub(super) type Data = Either4<Float32Array, Float64Array, BigInt64Array, Uint8Array>;

/// A number as a tensor beside `like`: of its type, or float32 where a fraction meets integers.
fn operand(like: &Tensor, other: Either<&Tensor, f64>) -> Result<Tensor> {
    match other {
        Either::A(tensor) => Ok(tensor.clone()),
        Either::B(number) => {
            let fits = like.dtype().is_float() || (number.fract() == 0.0 && like.dtype() != DType::Bool);
            let dtype = match (fits, number.fract() == 0.0) {
                (true, _) => like.dtype(),
                (false, true) => DType::I64,
                (false, false) => DType::F32,
            };
            Tensor::full_on(&like.device()?, &[], number, dtype)
        }
    }
}

/// How `backward` treats the graph.
#[napi(object)]
pub struct BackwardOptions {
    /// Keep the saved values, for a second backward pass. Default false.
    pub retain_graph: Option<bool>,
    /// Record the backward pass, for gradients of gradients. Default false.
    pub create_graph: Option<bool>,
}

/// Two numbers or tensors: as scalar operation where one is a number (nothing to save or broadcast), else the general one.
macro_rules! arithmetic {
    ($($doc:literal $name:ident, $js:literal: $general:path, scalar |$x:ident, $c:ident| $scalar:expr;)*) => {
        #[napi]
        impl Tensor {
            $(
                #[doc = $doc]
                #[napi(js_name = $js)]
                pub fn $name(&self, other: Either<&Tensor, f64>) -> Result<Tensor> {
                    match other {
                        Either::B($c) if self.dtype().is_float() => { let $x = self; $scalar }
                        other => $general(self, &operand(self, other)?),
                    }
                }
            )*
        }
    };
}

arithmetic! {
    "Sum with a tensor (broadcast) or a number" js_add, "add": elementwise::add, scalar |x, c| elementwise::add_scalar(x, c);
    "Difference with a tensor (broadcast) or a number" js_sub, "sub": elementwise::sub, scalar |x, c| elementwise::add_scalar(x, -c);
    "Product with a tensor (broadcast) or a number" js_mul, "mul": elementwise::mul, scalar |x, c| elementwise::mul_scalar(x, c);
    "Quotient by a tensor (broadcast) or a number; integers divide as float32" js_div, "div": elementwise::div,
        scalar |x, c| elementwise::div_scalar(x, c);
    "Power with a tensor (broadcast) or a number" js_pow, "pow": elementwise::pow_tensor, scalar |x, c| elementwise::pow_scalar(x, c);
}

macro_rules! pairwise {
    ($($doc:literal $name:ident, $js:literal: |$a:ident, $b:ident| $run:expr;)*) => {
        #[napi]
        impl Tensor {
            $(
                #[doc = $doc]
                #[napi(js_name = $js)]
                pub fn $name(&self, other: Either<&Tensor, f64>) -> Result<Tensor> {
                    let $a = self;
                    let $b = &operand(self, other)?;
                    $run
                }
            )*
        }
    };
}

pairwise! {
    "The larger of both; NaN if either is; on a tie each gets half of the gradient" js_maximum, "maximum": |a, b| elementwise::maximum(a, b);
    "The smaller of both; NaN if either is; on a tie each gets half of the gradient" js_minimum, "minimum": |a, b| elementwise::minimum(a, b);
    "Angle of the point (other, this), in radians" js_atan2, "atan2": |a, b| elementwise::atan2_(a, b);
    "Truth values: equal" js_eq, "eq": |a, b| compare(Comparison::Equal, a, b);
    "Truth values: not equal" js_ne, "ne": |a, b| compare(Comparison::NotEqual, a, b);
    "Truth values: less" js_lt, "lt": |a, b| compare(Comparison::Less, a, b);
    "Truth values: less or equal" js_le, "le": |a, b| compare(Comparison::LessEqual, a, b);
    "Truth values: greater" js_gt, "gt": |a, b| compare(Comparison::Greater, a, b);
    "Truth values: greater or equal" js_ge, "ge": |a, b| compare(Comparison::GreaterEqual, a, b);
}

#[napi]
impl Tensor {
    /// Sizes, outermost dimension first.
    #[napi(getter, js_name = "shape")]
    pub fn js_shape(&self) -> Vec<u32> {
        self.shape().iter().map(|&s| s as u32).collect()
    }

    /// Steps in elements from one index to the next, a dimension each.
    #[napi(getter, js_name = "strides")]
    pub fn js_strides(&self) -> Vec<u32> {
        self.strides().iter().map(|&s| s as u32).collect()
    }

    /// The type of the elements.
    #[napi(getter, js_name = "dtype", ts_return_type = "DType")]
    pub fn js_dtype(&self) -> &'static str {
        self.dtype().name()
    }

    /// The number of dimensions.
    #[napi(getter, js_name = "ndim")]
    pub fn js_ndim(&self) -> u32 {
        self.ndim() as u32
    }

    /// The number of elements.
    #[napi(getter, js_name = "numel")]
    pub fn js_numel(&self) -> f64 {
        self.numel() as f64
    }

    /// Whether `backward` reaches it.
    #[napi(getter, js_name = "requiresGrad")]
    pub fn js_requires_grad(&self) -> bool {
        self.requires_grad()
    }

    /// Only float tensors that no operation made can be switched.
    #[napi(setter, js_name = "requiresGrad")]
    pub fn js_set_requires_grad(&self, value: bool) -> Result<()> {
        self.set_requires_grad(value)
    }

    /// Whether no recorded operation made it.
    #[napi(getter, js_name = "isLeaf")]
    pub fn js_is_leaf(&self) -> bool {
        self.is_leaf()
    }

    /// What `backward` summed up here, or null.
    #[napi(getter, js_name = "grad")]
    pub fn js_grad(&self) -> Option<Tensor> {
        self.grad()
    }

    /// Replaces the gradient; null forgets it.
    #[napi(js_name = "setGrad")]
    pub fn js_set_grad(&self, grad: Option<&Tensor>) -> Result<()> {
        self.set_grad(grad.cloned())
    }

    /// Whether its memory was freed by a scope or by `dispose`.
    #[napi(getter)]
    pub fn is_disposed(&self) -> bool {
        self.storage().is_err()
    }

    /// All elements in row-major order, copied: Float32Array (bfloat16 and float16 too, which is exact), Float64Array,
    /// BigInt64Array, or Uint8Array (uint8, bool).
    #[napi(js_name = "data", ts_return_type = "Promise<TypedArray>")]
    pub fn js_data<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, Data>> {
        #[cfg(feature = "gpu")]
        if !self.device()?.is_cpu() {
            return super::device::read(self, env);
        }
        let data = match self.dtype() {
            DType::F32 => Either4::A(Float32Array::new(self.to_vec()?)),
            DType::BF16 | DType::F16 => {
                let wide = movement::to_dtype(&self.detach()?, DType::F32)?;
                Either4::A(Float32Array::new(wide.to_vec()?))
            }
            DType::F64 => Either4::B(Float64Array::new(self.to_vec()?)),
            DType::I64 => Either4::C(BigInt64Array::new(self.to_vec()?)),
            DType::U8 | DType::Bool => Either4::D(Uint8Array::new(self.to_vec()?)),
        };
        PromiseRaw::resolve(env, data).map_err(border)
    }

    /// The bits of all elements of a bfloat16 or float16 tensor in row-major order, copied.
    #[napi(js_name = "halfBits", ts_return_type = "Promise<Uint16Array>")]
    pub fn js_half_bits<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, Uint16Array>> {
        let bits: Vec<u16> = match self.dtype() {
            DType::BF16 => self.to_vec::<Bf16>()?.into_iter().map(|v| v.0).collect(),
            DType::F16 => self.to_vec::<F16>()?.into_iter().map(|v| v.0).collect(),
            other => crate::bail!(Dtype, "halfBits: this tensor is {}, not bfloat16 or float16", other.name()),
        };
        PromiseRaw::resolve(env, Uint16Array::new(bits)).map_err(border)
    }

    /// The only element, as a number. ERR_SHAPE if there are several.
    #[napi(js_name = "item", ts_return_type = "Promise<number>")]
    pub fn js_item<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, f64>> {
        #[cfg(feature = "gpu")]
        if !self.device()?.is_cpu() && self.numel() == 1 {
            return super::device::read_number(self, env);
        }
        PromiseRaw::resolve(env, self.to_scalar()?).map_err(border)
    }

    /// Adds the gradients of this tensor, weighted by `gradient` (1 for a scalar), to `.grad` of every leaf it was made of.
    #[napi(js_name = "backward")]
    pub fn js_backward(&self, env: Env, gradient: Option<&Tensor>, options: Option<BackwardOptions>) -> Result<()> {
        let options = options.map_or_else(autograd::Options::default, |o| autograd::Options {
            retain_graph: o.retain_graph.unwrap_or(false),
            create_graph: o.create_graph.unwrap_or(false),
        });
        autograd::backward(self, gradient, options)?;
        report_memory(&env);
        Ok(())
    }

    /// The same values outside the graph; a view.
    #[napi(js_name = "detach")]
    pub fn js_detach(&self) -> Result<Tensor> {
        self.detach()
    }

    /// Survives the scopes it is in; returns nothing. Free it with `dispose`, or leave it to the garbage collector.
    #[napi(js_name = "keepAlive")]
    pub fn keep_alive(&self) {
        self.inner.kept.set(true);
    }

    /// Frees the memory now. Whoever uses it afterwards gets ERR_DISPOSED.
    #[napi(js_name = "dispose")]
    pub fn js_dispose(&self) {
        self.free();
    }

    /// Overwrites the elements in place with those of `source` (broadcast, converted). A graph that needed the old ones
    /// will say so.
    #[napi(js_name = "copy_")]
    pub fn copy_from(&self, source: &Tensor) -> Result<()> {
        crate::ensure!(
            !(autograd::is_enabled() && self.requires_grad()),
            Autograd,
            "copy_: this tensor requires a gradient; write into it inside noGrad(…)"
        );
        movement::copy_in_place(self, &source.detach()?)
    }

    /// The same values as another type (floats are cut to integers towards zero; bool is "not 0"), or on another device:
    /// "cpu", "gpu", "gpu:1". Itself where nothing changes. To the CPU it waits for the device.
    #[napi(js_name = "to")]
    pub fn js_to(&self, #[napi(ts_arg_type = "DType | DeviceName")] target: String) -> Result<Tensor> {
        if target == "cpu" || target.starts_with("gpu") {
            return transfer::to_device(self, &Device::parse(&target)?);
        }
        movement::to_dtype(self, DType::parse(&target)?)
    }

    /// Where its memory lies: "cpu" or "gpu:0".
    #[napi(getter, js_name = "device")]
    pub fn js_device(&self) -> Result<String> {
        Ok(self.device()?.name())
    }

    /// Moves this tensor, and its gradient, to another device in place: whoever holds it sees the new memory.
    /// ERR_AUTOGRAD for a tensor that an operation made.
    #[napi(js_name = "moveTo_")]
    pub fn js_move_to(&self, device: String) -> Result<()> {
        transfer::move_in_place(self, &Device::parse(&device)?)
    }

    /// The same elements in another shape; one size may be -1. A view where the strides allow it.
    #[napi(js_name = "reshape")]
    pub fn js_reshape(&self, shape: Vec<i64>) -> Result<Tensor> {
        movement::reshape(self, &shape)
    }

    /// As `reshape`.
    #[napi(js_name = "view")]
    pub fn js_view(&self, shape: Vec<i64>) -> Result<Tensor> {
        movement::reshape(self, &shape)
    }

    /// The dimensions in another order; a view.
    #[napi(js_name = "permute")]
    pub fn js_permute(&self, dims: Vec<i64>) -> Result<Tensor> {
        movement::permute(self, &dims)
    }

    /// Dimensions of size 1 (and new leading ones) repeated; -1 keeps a size. A view.
    #[napi(js_name = "expand")]
    pub fn js_expand(&self, shape: Vec<i64>) -> Result<Tensor> {
        let lead = shape.len().saturating_sub(self.ndim());
        let mut sizes = Vec::with_capacity(shape.len());
        for (d, &size) in shape.iter().enumerate() {
            let own = if d >= lead { self.shape().get(d - lead).copied() } else { None };
            sizes.push(match (size, own) {
                (-1, Some(own)) => own,
                (s, _) if s >= 0 => s as usize,
                _ => crate::bail!(Argument, "expand: size {size} in {shape:?}; a new dimension needs its size"),
            });
        }
        movement::expand(self, &sizes)
    }

    /// Sum over dimensions (default: all).
    #[napi(js_name = "sum")]
    pub fn js_sum(&self, dims: Option<Either<i64, Vec<i64>>>, keepdim: Option<bool>) -> Result<Tensor> {
        reduce::sum(self, super::dims(dims).as_deref(), keepdim.unwrap_or(false))
    }

    /// Mean over dimensions (default: all).
    #[napi(js_name = "mean")]
    pub fn js_mean(&self, dims: Option<Either<i64, Vec<i64>>>, keepdim: Option<bool>) -> Result<Tensor> {
        reduce::mean(self, super::dims(dims).as_deref(), keepdim.unwrap_or(false))
    }

    /// x · Φ(x); `approximate` "none" (default) or "tanh" (Hendrycks & Gimpel 2016).
    #[napi(js_name = "gelu")]
    pub fn js_gelu(&self, #[napi(ts_arg_type = "'none' | 'tanh'")] approximate: Option<String>) -> Result<Tensor> {
        match approximate.as_deref() {
            None | Some("none") => elementwise::gelu_exact(self),
            Some("tanh") => elementwise::gelu_tanh(self),
            Some(other) => crate::bail!(Argument, "gelu: approximate \"{other}\" is neither \"none\" nor \"tanh\""),
        }
    }

    /// Within [min, max]; either may be null.
    #[napi(js_name = "clamp")]
    pub fn js_clamp(&self, min: Option<f64>, max: Option<f64>) -> Result<Tensor> {
        elementwise::clamp_both(self, min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY))
    }

    /// x where positive, slope · x (default 0.01) elsewhere.
    #[napi(js_name = "leakyRelu")]
    pub fn js_leaky_relu(&self, slope: Option<f64>) -> Result<Tensor> {
        elementwise::leaky_relu_(self, slope.unwrap_or(0.01))
    }

    /// x where positive, alpha · (eˣ − 1) (default 1) elsewhere.
    #[napi(js_name = "elu")]
    pub fn js_elu(&self, alpha: Option<f64>) -> Result<Tensor> {
        elementwise::elu_(self, alpha.unwrap_or(1.0))
    }

    /// ln(1 + e^(beta·x)) / beta (default 1); x itself where beta·x > threshold (default 20).
    #[napi(js_name = "softplus")]
    pub fn js_softplus(&self, beta: Option<f64>, threshold: Option<f64>) -> Result<Tensor> {
        elementwise::softplus_(self, beta.unwrap_or(1.0), threshold.unwrap_or(20.0))
    }

    /// other − this.
    #[napi]
    pub fn rsub(&self, other: f64) -> Result<Tensor> {
        elementwise::rsub_scalar(self, other)
    }

    /// other / this.
    #[napi]
    pub fn rdiv(&self, other: f64) -> Result<Tensor> {
        elementwise::rdiv_scalar(self, other)
    }
}
