//! Elementwise operations: a row each, from which follow the loop, the gradient, the JavaScript method and the tests.
//! An expression uses the names of `cpu::math` (WGSL's) and float literals only, so that a shader can be made of it.
#![allow(clippy::approx_constant, clippy::excessive_precision, reason = "rows hold literals, not names of Rust")]

use crate::cpu::elementwise::{Operand, map, map_dense};
use crate::cpu::math::*;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::elementwise_bf16;
#[cfg(feature = "gpu")]
use crate::ops::elementwise_gpu;
use crate::ops::movement;
use crate::ops::reduce::sum_to;
use crate::shape::{Dims, Layout, broadcast};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_all, dispatch_float, ensure};
use std::marker::PhantomData;

/// A function of one element and up to two constants, with its derivative.
pub trait Unary: 'static {
    const NAME: &'static str;
    /// Which of input and result the derivative reads.
    const KEEPS: (bool, bool);
    /// The row as text, of which the GPU's kernels are made.
    #[cfg(feature = "gpu")]
    const TEXT: elementwise_gpu::UnaryText;
    fn f32(x: f32, constants: [f32; 2]) -> f32;
    fn f64(x: f64, constants: [f64; 2]) -> f64;
    /// The gradient of x, from x, the result y and the gradient g of y (x or y is 0 if not kept).
    fn grad_f32(x: f32, y: f32, g: f32, constants: [f32; 2]) -> f32;
    fn grad_f64(x: f64, y: f64, g: f64, constants: [f64; 2]) -> f64;
    /// The derivative over whole tensors: what is kept, then the gradient.
    fn gradient(inputs: &[&Tensor], constants: [f64; 2]) -> Result<Tensor>;
}

/// A function of two elements, with its two derivatives.
pub trait Binary: 'static {
    const NAME: &'static str;
    /// Whether the derivatives read the values of a and b; otherwise only their shapes are kept.
    const KEEPS: bool;
    /// Names of a and b, and the expression.
    #[cfg(feature = "gpu")]
    const TEXT: ([&'static str; 2], &'static str);
    fn f32(a: f32, b: f32) -> f32;
    fn f64(a: f64, b: f64) -> f64;
    /// None: not defined for integers.
    fn i64(a: i64, b: i64) -> Option<i64>;
    fn backward(a: &Tensor, b: &Tensor, grad: &Tensor, needs: [bool; 2]) -> Result<[Option<Tensor>; 2]>;
}

macro_rules! constants {
    ($values:ident;) => {};
    ($values:ident; $a:ident) => {
        let $a = $values[0];
    };
    ($values:ident; $a:ident, $b:ident) => {
        let [$a, $b] = $values;
    };
}

/// A row: documentation, name(element, constants…) = expression, gradient(x, y, g) = expression, keeping x and/or y.
/// `as` gives the JavaScript name where camelCase of the name is not it.
macro_rules! unary {
    ($($doc:literal $type:ident $name:ident($x:ident $(, $c:ident)*) $(as $js:tt)? = $f:expr,
       grad($gx:ident, $gy:ident, $g:ident) = $df:expr, keep($kx:tt, $ky:tt);)*) => {$(
        #[doc = $doc]
        pub struct $type;

        impl Unary for $type {
            const NAME: &'static str = stringify!($name);
            const KEEPS: (bool, bool) = ($kx, $ky);
            #[cfg(feature = "gpu")]
            const TEXT: elementwise_gpu::UnaryText = elementwise_gpu::UnaryText {
                name: stringify!($name),
                constants: &[$(stringify!($c)),*],
                value: (stringify!($x), stringify!($f)),
                gradient: ([stringify!($gx), stringify!($gy), stringify!($g)], stringify!($df)),
            };
            unary!(@functions f32 grad_f32 f32; $x, $f, $gx, $gy, $g, $df; $($c),*);
            unary!(@functions f64 grad_f64 f64; $x, $f, $gx, $gy, $g, $df; $($c),*);
            fn gradient(inputs: &[&Tensor], constants: [f64; 2]) -> Result<Tensor> {
                unary!(@gradient $type $kx $ky inputs constants)
            }
        }

        unary!(@method $doc $type $name $(as $js)?; $($c),*);
    )*
        #[cfg(test)]
        const UNARY: &[&str] = &[$(stringify!($name)),*];
        /// What each row keeps, and its text.
        #[cfg(all(test, feature = "gpu"))]
        pub(crate) const UNARY_TEXTS: &[((bool, bool), elementwise_gpu::UnaryText)] =
            &[$((<$type as Unary>::KEEPS, <$type as Unary>::TEXT)),*];
    };
    // Only the loop over what the row keeps is compiled.
    (@gradient $type:ident true true $inputs:ident $c:ident) => {
        match $inputs[0].dtype() {
            DType::F32 => { let c = $c.map(|v| v as f32); map_same::<f32, 3, true>($inputs, #[inline(always)] move |[x, y, g]| $type::grad_f32(x, y, g, c)) }
            _ => map_same::<f64, 3, false>($inputs, move |[x, y, g]| $type::grad_f64(x, y, g, $c)),
        }
    };
    (@gradient $type:ident true false $inputs:ident $c:ident) => {
        match $inputs[0].dtype() {
            DType::F32 => { let c = $c.map(|v| v as f32); map_same::<f32, 2, true>($inputs, #[inline(always)] move |[x, g]| $type::grad_f32(x, 0.0, g, c)) }
            _ => map_same::<f64, 2, false>($inputs, move |[x, g]| $type::grad_f64(x, 0.0, g, $c)),
        }
    };
    (@gradient $type:ident false true $inputs:ident $c:ident) => {
        match $inputs[0].dtype() {
            DType::F32 => { let c = $c.map(|v| v as f32); map_same::<f32, 2, true>($inputs, #[inline(always)] move |[y, g]| $type::grad_f32(0.0, y, g, c)) }
            _ => map_same::<f64, 2, false>($inputs, move |[y, g]| $type::grad_f64(0.0, y, g, $c)),
        }
    };
    (@gradient $type:ident false false $inputs:ident $c:ident) => {
        match $inputs[0].dtype() {
            DType::F32 => { let c = $c.map(|v| v as f32); map_same::<f32, 1, true>($inputs, #[inline(always)] move |[g]| $type::grad_f32(0.0, 0.0, g, c)) }
            _ => map_same::<f64, 1, false>($inputs, move |[g]| $type::grad_f64(0.0, 0.0, g, $c)),
        }
    };
    (@functions $name:ident $grad:ident $t:ident; $x:ident, $f:expr, $gx:ident, $gy:ident, $g:ident, $df:expr;
     $($c:ident),*) => {
        #[inline(always)]
        #[allow(unused_variables)]
        fn $name($x: $t, values: [$t; 2]) -> $t { constants!(values; $($c),*); $f }
        #[inline(always)]
        #[allow(unused_variables)]
        fn $grad($gx: $t, $gy: $t, $g: $t, values: [$t; 2]) -> $t { constants!(values; $($c),*); $df }
    };
    (@method $doc:literal $type:ident $name:ident $(as $js:tt)?;) => {
        #[doc = $doc]
        pub fn $name(x: &Tensor) -> Result<Tensor> { unary::<$type>(x, [0.0; 2]) }

        #[cfg_attr(feature = "node", napi_derive::napi)]
        impl Tensor {
            #[doc = $doc]
            #[cfg_attr(feature = "node", napi_derive::napi$((js_name = $js))?)]
            pub fn $name(&self) -> Result<Tensor> { $name(self) }
        }
    };
    (@method $doc:literal $type:ident $name:ident; $a:ident) => {
        #[doc = $doc]
        pub fn $name(x: &Tensor, $a: f64) -> Result<Tensor> { unary::<$type>(x, [$a, 0.0]) }
    };
    (@method $doc:literal $type:ident $name:ident; $a:ident, $b:ident) => {
        #[doc = $doc]
        pub fn $name(x: &Tensor, $a: f64, $b: f64) -> Result<Tensor> { unary::<$type>(x, [$a, $b]) }
    };
}

unary! {
    "−x" Neg neg(x) = -x, grad(_x, _y, g) = -g, keep(false, false);
    "Absolute value; its derivative at 0 is 0." Abs abs_(x) = abs(x), grad(x, _y, g) = g * sign(x), keep(true, false);
    "eˣ" Exp exp_(x) = exp(x), grad(_x, y, g) = g * y, keep(false, true);
    "eˣ − 1, exact near 0" Expm1 expm1_(x) = expm1(x), grad(_x, y, g) = g * (y + 1.0), keep(false, true);
    "Natural logarithm" Log log_(x) = log(x), grad(x, _y, g) = g / x, keep(true, false);
    "ln(1 + x), exact near 0" Log1p log1p_(x) as "log1p" = log1p(x), grad(x, _y, g) = g / (x + 1.0), keep(true, false);
    "Square root" Sqrt sqrt_(x) = sqrt(x), grad(_x, y, g) = g * 0.5 / y, keep(false, true);
    "1/√x" Rsqrt rsqrt(x) = 1.0 / sqrt(x), grad(_x, y, g) = g * -0.5 * y * y * y, keep(false, true);
    "x²" Square square(x) = x * x, grad(x, _y, g) = g * 2.0 * x, keep(true, false);
    "1/x" Reciprocal reciprocal(x) = 1.0 / x, grad(_x, y, g) = -g * y * y, keep(false, true);
    "−1, 0 or 1; its derivative is 0." Sign sign_(x) = sign(x), grad(_x, _y, g) = g * 0.0, keep(false, false);
    "Sine (radians)" Sin sin_(x) = sin(x), grad(x, _y, g) = g * cos(x), keep(true, false);
    "Cosine (radians)" Cos cos_(x) = cos(x), grad(x, _y, g) = -g * sin(x), keep(true, false);
    "Hyperbolic tangent" Tanh tanh_(x) = tanh(x), grad(_x, y, g) = g * (1.0 - y * y), keep(false, true);
    "Gauss' error function" Erf erf_(x) = erf(x),
        grad(x, _y, g) = g * 1.1283791670955126 * exp(-x * x), keep(true, false);
    "Largest integer ≤ x; its derivative is 0." Floor floor_(x) = floor(x), grad(_x, _y, g) = g * 0.0, keep(false, false);
    "Smallest integer ≥ x; its derivative is 0." Ceil ceil_(x) = ceil(x), grad(_x, _y, g) = g * 0.0, keep(false, false);
    "Nearest integer, halves to even; its derivative is 0." Round round_(x) = round(x),
        grad(_x, _y, g) = g * 0.0, keep(false, false);
    "Rectifier: max(x, 0); its derivative at 0 is 0." Relu relu(x) = max(x, 0.0),
        grad(_x, y, g) = select(0.0, g, y > 0.0), keep(false, true);
    "Logistic function 1/(1 + e⁻ˣ)" Sigmoid sigmoid(x) = 1.0 / (1.0 + exp(-x)),
        grad(_x, y, g) = g * y * (1.0 - y), keep(false, true);
    "ln of the logistic function" LogSigmoid log_sigmoid(x) = min(x, 0.0) - log1p(exp(-abs(x))),
        grad(x, _y, g) = g / (1.0 + exp(x)), keep(true, false);
    "x · sigmoid(x) (Elfwing et al. 2017)" Silu silu(x) = x / (1.0 + exp(-x)),
        grad(x, _y, g) = g * (1.0 + x * (1.0 - 1.0 / (1.0 + exp(-x)))) / (1.0 + exp(-x)), keep(true, false);
    "x · Φ(x) with the exact normal distribution function (Hendrycks & Gimpel 2016)"
        GeluExact gelu_exact(x) = 0.5 * x * (1.0 + erf(x * 0.7071067811865476)),
        grad(x, _y, g) = g * (0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * exp(-0.5 * x * x)),
        keep(true, false);
    "x · Φ(x) with Φ approximated by tanh (Hendrycks & Gimpel 2016)"
        GeluTanh gelu_tanh(x) = 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
        grad(x, _y, g) = g * (0.5 * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
            + 0.5 * x * (1.0 - tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))
                * tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))
                * 0.7978845608028654 * (1.0 + 0.134145 * x * x)),
        keep(true, false);
    "x + c" AddScalar add_scalar(x, c) = x + c, grad(_x, _y, g) = g, keep(false, false);
    "c · x" MulScalar mul_scalar(x, c) = x * c, grad(_x, _y, g) = g * c, keep(false, false);
    "x / c" DivScalar div_scalar(x, c) = x / c, grad(_x, _y, g) = g / c, keep(false, false);
    "c − x" RsubScalar rsub_scalar(x, c) = c - x, grad(_x, _y, g) = -g, keep(false, false);
    "c / x" RdivScalar rdiv_scalar(x, c) = c / x, grad(x, y, g) = -g * y / x, keep(true, true);
    "xᶜ" PowScalar pow_scalar(x, c) = pow(x, c),
        grad(x, _y, g) = select(g * c * pow(x, c - 1.0), 0.0, c == 0.0), keep(true, false);
    "x within [low, high]; its derivative is 0 outside." ClampBoth clamp_both(x, low, high) = min(max(x, low), high),
        grad(x, _y, g) = select(0.0, g, x >= low && x <= high), keep(true, false);
    "x where positive, slope · x elsewhere" LeakyRelu leaky_relu_(x, slope) = select(x * slope, x, x > 0.0),
        grad(x, _y, g) = select(g * slope, g, x > 0.0), keep(true, false);
    "x where positive, alpha · (eˣ − 1) elsewhere" Elu elu_(x, alpha) = select(alpha * expm1(x), x, x > 0.0),
        grad(x, _y, g) = select(g * alpha * exp(x), g, x > 0.0), keep(true, false);
    "ln(1 + e^(beta·x)) / beta, and x itself where beta·x > threshold"
        Softplus softplus_(x, beta, threshold) =
            select((max(x * beta, 0.0) + log1p(exp(-abs(x * beta)))) / beta, x, x * beta > threshold),
        grad(x, _y, g) = select(g / (1.0 + exp(-x * beta)), g, x * beta > threshold), keep(true, false);
}

/// Runs a row.
pub fn unary<F: Unary>(x: &Tensor, constants: [f64; 2]) -> Result<Tensor> {
    apply_one(UnaryOp::<F> { constants, row: PhantomData }, &[x])
}

struct UnaryOp<F> {
    constants: [f64; 2],
    row: PhantomData<F>,
}

impl<F: Unary> Op for UnaryOp<F> {
    fn name(&self) -> &'static str {
        F::NAME.trim_end_matches('_')
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let x = inputs[0];
        let y = match x.dtype() {
            DType::F32 => {
                let c = self.constants.map(|v| v as f32);
                map_same::<f32, 1, true>(
                    &[x],
                    #[inline(always)]
                    move |[x]| F::f32(x, c),
                )?
            }
            DType::F64 => {
                let c = self.constants;
                map_same::<f64, 1, false>(&[x], move |[x]| F::f64(x, c))?
            }
            DType::BF16 => elementwise_bf16::unary(F::NAME, x, self.constants)?,
            other => return Err(not_float(self.name(), other)),
        };
        keep::<F>(x, y, context)
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        if inputs[0].dtype() != DType::F32 {
            return Err(not_float(self.name(), inputs[0].dtype()));
        }
        keep::<F>(inputs[0], elementwise_gpu::unary(&F::TEXT, self.constants, inputs[0])?, context)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let kept = match pass.saved {
            [] => vec![],
            [only] if F::KEEPS.0 => vec![Some(only), None],
            [only] => vec![None, Some(only)],
            [x, y, ..] => vec![Some(x), Some(y)],
        };
        let inputs: Vec<&Tensor> = kept.iter().flatten().copied().chain([pass.grad()]).collect();
        let op = UnaryGrad::<F> { constants: self.constants, row: PhantomData };
        Ok(vec![Some(apply_one(op, &inputs)?)])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        elementwise_bf16::is_native(F::NAME, inputs)
    }
}

fn keep<F: Unary>(x: &Tensor, y: Tensor, context: &mut Context) -> Result<Vec<Tensor>> {
    if F::KEEPS.0 {
        context.save(x)?;
    }
    if F::KEEPS.1 {
        context.save_result(0, &y)?;
    }
    Ok(vec![y])
}

/// The derivative of a row: inputs are what it keeps, then the gradient.
struct UnaryGrad<F> {
    constants: [f64; 2],
    row: PhantomData<F>,
}

impl<F: Unary> Op for UnaryGrad<F> {
    fn name(&self) -> &'static str {
        F::NAME.trim_end_matches('_')
    }

    fn forward(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![match inputs[0].dtype() {
            DType::BF16 => elementwise_bf16::gradient(F::NAME, inputs, self.constants)?,
            _ => F::gradient(inputs, self.constants)?,
        }])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        elementwise_bf16::is_native(F::NAME, inputs)
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], _: &mut Context) -> Result<Vec<Tensor>> {
        Ok(vec![elementwise_gpu::unary_gradient(&F::TEXT, F::KEEPS, self.constants, inputs)?])
    }

    fn backward(&self, _: &Pass) -> Result<Vec<Option<Tensor>>> {
        Err(Error::Unsupported(format!(
            "{}: its second derivative is not available; write it with add, mul, exp and other operations that have one",
            self.name()
        )))
    }
}

/// A row: documentation, name(a, b) = expression, integers, gradients as tensor expressions.
macro_rules! binary {
    ($($doc:literal $type:ident $name:ident($a:ident, $b:ident) = $f:expr, int = $int:expr,
       grad($ga:ident, $gb:ident, $g:ident) = ($da:expr, $db:expr), keep($keeps:literal);)*) => {$(
        #[doc = $doc]
        pub struct $type;

        impl Binary for $type {
            const NAME: &'static str = stringify!($name);
            const KEEPS: bool = $keeps;
            #[cfg(feature = "gpu")]
            const TEXT: ([&'static str; 2], &'static str) = ([stringify!($a), stringify!($b)], stringify!($f));
            #[inline(always)]
            fn f32($a: f32, $b: f32) -> f32 { $f }
            #[inline(always)]
            fn f64($a: f64, $b: f64) -> f64 { $f }
            #[inline(always)]
            fn i64(a: i64, b: i64) -> Option<i64> { let f: fn(i64, i64) -> Option<i64> = $int; f(a, b) }
            #[allow(unused_variables)]
            fn backward($ga: &Tensor, $gb: &Tensor, $g: &Tensor, needs: [bool; 2]) -> Result<[Option<Tensor>; 2]> {
                let da = if needs[0] { Some(sum_to(&$da, $ga.shape())?) } else { None };
                let db = if needs[1] { Some(sum_to(&$db, $gb.shape())?) } else { None };
                Ok([da, db])
            }
        }

        #[doc = $doc]
        pub fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> { binary::<$type>(a, b) }
    )*
        #[cfg(test)]
        const BINARY: &[&str] = &[$(stringify!($name)),*];
        #[cfg(all(test, feature = "gpu"))]
        pub(crate) const BINARY_TEXTS: &[([&str; 2], &str)] = &[$(<$type as Binary>::TEXT),*];
    };
}

binary! {
    "a + b" Add add(a, b) = a + b, int = |a, b| Some(a.wrapping_add(b)), grad(_a, _b, g) = (g.clone(), g.clone()), keep(false);
    "a − b" Sub sub(a, b) = a - b, int = |a, b| Some(a.wrapping_sub(b)), grad(_a, _b, g) = (g.clone(), neg(g)?), keep(false);
    "a · b" Mul mul(a, b) = a * b, int = |a, b| Some(a.wrapping_mul(b)), grad(a, b, g) = (mul(g, b)?, mul(g, a)?), keep(true);
    "a / b" Div div(a, b) = a / b, int = |_, _| None,
        grad(a, b, g) = (div(g, b)?, neg(&div(&mul(g, a)?, &square(b)?)?)?), keep(true);
    "aᵇ" Pow pow_tensor(a, b) = pow(a, b), int = |_, _| None,
        grad(a, b, g) = (
            mul(g, &mul(b, &pow_tensor(a, &add_scalar(b, -1.0)?)?)?)?,
            // a = 0 (with b > 0) has the limit 0, where ln a has none.
            mul(g, &movement::masked_fill(&mul(&pow_tensor(a, b)?, &log_(a)?)?, &equal_zero(a, b)?, 0.0)?)?
        ), keep(true);
    "The larger; on a tie each gets half of the gradient." Maximum maximum(a, b) = max(a, b), int = |a, b| Some(a.max(b)),
        grad(a, b, g) = (mul(g, &share(a, b)?)?, mul(g, &share(b, a)?)?), keep(true);
    "The smaller; on a tie each gets half of the gradient." Minimum minimum(a, b) = min(a, b), int = |a, b| Some(a.min(b)),
        grad(a, b, g) = (mul(g, &share(b, a)?)?, mul(g, &share(a, b)?)?), keep(true);
    "Angle of the point (b, a), in radians" Atan2 atan2_(a, b) = atan2(a, b), int = |_, _| None,
        grad(a, b, g) = (
            div(&mul(g, b)?, &add(&square(a)?, &square(b)?)?)?,
            neg(&div(&mul(g, a)?, &add(&square(a)?, &square(b)?)?)?)?
        ), keep(true);
}

/// 1 where a > b, ½ where equal, else 0.
fn share(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "gpu")]
    if !a.is_host() {
        return elementwise_gpu::share(a, b);
    }
    let dtype = a.dtype();
    dispatch_float!(dtype, "maximum", T => map_tensors::<_, _, 2, false>([&a.detach()?, &b.detach()?], dtype, |[a, b]: [T; 2]| {
        select(select(0.0 as T, 0.5, a == b), 1.0, a > b)
    }))
}

fn equal_zero(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    movement::expand(
        &compare(Comparison::Equal, a, &Tensor::full(&[], 0.0, a.dtype())?)?,
        &broadcast("pow", a.shape(), b.shape())?,
    )
}

/// Runs a row on tensors of any type: both are brought to the wider one (integers divide as float32).
pub fn binary<F: Binary>(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let mut dtype = a.dtype().promote(b.dtype());
    if !dtype.is_float() && F::i64(1, 1).is_none() {
        dtype = DType::F32;
    }
    if a.dtype() == dtype && b.dtype() == dtype && dtype != DType::Bool {
        return apply_one(BinaryOp::<F>(PhantomData), &[a, b]);
    }
    let dtype = if dtype == DType::Bool { DType::U8 } else { dtype };
    apply_one(BinaryOp::<F>(PhantomData), &[&movement::to_dtype(a, dtype)?, &movement::to_dtype(b, dtype)?])
}

struct BinaryOp<F>(PhantomData<F>);

impl<F: Binary> BinaryOp<F> {
    fn check_and_keep(&self, a: &Tensor, b: &Tensor, context: &mut Context) -> Result<()> {
        broadcast(self.name(), a.shape(), b.shape())?;
        for input in [a, b] {
            if F::KEEPS {
                context.save(input)?;
            } else {
                movement::save_shape(input, context)?;
            }
        }
        Ok(())
    }
}

impl<F: Binary> Op for BinaryOp<F> {
    fn name(&self) -> &'static str {
        F::NAME.trim_end_matches('_')
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [a, b] = [inputs[0], inputs[1]];
        self.check_and_keep(a, b, context)?;
        let int = |a, b| F::i64(a, b).expect("binary() converts before");
        Ok(vec![match a.dtype() {
            DType::F32 => map_tensors::<_, _, 2, true>(
                [a, b],
                DType::F32,
                #[inline(always)]
                |[a, b]: [f32; 2]| F::f32(a, b),
            )?,
            DType::F64 => map_tensors::<_, _, 2, false>([a, b], DType::F64, |[a, b]: [f64; 2]| F::f64(a, b))?,
            DType::I64 => map_tensors::<_, _, 2, false>([a, b], DType::I64, |[a, b]: [i64; 2]| int(a, b))?,
            DType::BF16 => elementwise_bf16::binary(F::NAME, a, b)?,
            DType::F16 => return Err(not_float(self.name(), DType::F16)),
            DType::U8 | DType::Bool => {
                map_tensors::<_, _, 2, false>([a, b], DType::U8, |[a, b]: [u8; 2]| int(a as i64, b as i64) as u8)?
            }
        }])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        self.check_and_keep(inputs[0], inputs[1], context)?;
        let (names, text) = F::TEXT;
        Ok(vec![elementwise_gpu::binary(self.name(), names, text, inputs[0], inputs[1])?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        elementwise_bf16::is_native(F::NAME, inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let needs = [pass.needs(0), pass.needs(1)];
        Ok(F::backward(&pass.saved[0], &pass.saved[1], pass.grad(), needs)?.into())
    }
}

/// A comparison of two elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// Truth values of an elementwise comparison, with broadcasting. Carries no gradient.
pub fn compare(comparison: Comparison, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use Comparison::*;
    let dtype = a.dtype().promote(b.dtype());
    let (a, b) = (movement::to_dtype(&a.detach()?, dtype)?, movement::to_dtype(&b.detach()?, dtype)?);
    broadcast("comparison", a.shape(), b.shape())?;
    #[cfg(feature = "gpu")]
    {
        let (device, moved) = crate::op::common_device("comparison", &[&a, &b])?;
        if !device.is_cpu() {
            let [a, b] = moved.and_then(|m| m.try_into().ok()).unwrap_or([a, b]);
            return elementwise_gpu::compare(comparison, &a, &b);
        }
    }
    dispatch_all!(dtype, T => {
        macro_rules! run { ($op:tt) => { map_tensors::<_, _, 2, false>([&a, &b], DType::Bool, |[a, b]: [T; 2]| (a $op b) as u8) } }
        match comparison {
            Equal => run!(==),
            NotEqual => run!(!=),
            Less => run!(<),
            LessEqual => run!(<=),
            Greater => run!(>),
            GreaterEqual => run!(>=),
        }
    })
}

pub(crate) fn not_float(op: &str, dtype: DType) -> Error {
    Error::Dtype(format!("{op}: takes float32 or float64, got {}; convert with .to('float32')", dtype.name()))
}

/// `out = f(inputs)` with broadcasting, outside the graph. The output keeps the memory order of the first input that
/// has its shape, so that channels-last images stay so.
/// `WIDE`: see [`map`].
pub fn map_tensors<T: Element, R: Element, const N: usize, const WIDE: bool>(
    inputs: [&Tensor; N],
    dtype: DType,
    f: impl Fn([T; N]) -> R + Copy + Sync,
) -> Result<Tensor> {
    for input in inputs {
        ensure!(
            T::stores(input.dtype()),
            Internal,
            "elementwise loop over {} got {}",
            T::DTYPE.name(),
            input.dtype().name()
        );
    }
    let Plan { shape, strides, layouts } = plan(&inputs)?;
    let mut out = Buffer::<R>::new(shape.iter().product())?;
    let operands: [Operand<T>; N] = std::array::from_fn(|k| Operand {
        data: inputs[k].storage_slice::<T>(),
        offset: layouts[k].offset,
        strides: &layouts[k].strides,
    });
    map::<_, _, N, WIDE>(&layouts[0].shape, operands, &mut out, f);
    Ok(Tensor::from_buffer_strided(out, &shape, strides, dtype))
}

/// What [`map_tensors`] walks: the output's shape and strides, and each input's layout in the order of the output's
/// memory, dimensions merged. Apart from the generic loop, so that it is compiled once.
pub(crate) struct Plan {
    pub shape: Dims,
    pub strides: Dims,
    pub layouts: Vec<Layout>,
}

pub(crate) fn plan(inputs: &[&Tensor]) -> Result<Plan> {
    let mut shape = Dims::from_slice(inputs[0].shape());
    for input in &inputs[1..] {
        shape = broadcast("elementwise", &shape, input.shape())?;
    }
    let model = inputs.iter().find(|t| t.shape() == &shape[..] && !t.strides().contains(&0));
    let strides = match model {
        Some(t) => t.layout().dense_strides(),
        None => crate::shape::contiguous_strides(&shape),
    };
    // Dimensions in the order of the output's memory, outermost first.
    let mut order: Vec<usize> = (0..shape.len()).collect();
    order.sort_by_key(|&d| std::cmp::Reverse((strides[d], shape[d])));
    let mut layouts = Vec::with_capacity(inputs.len());
    for input in inputs {
        layouts.push(input.layout().expand(&shape)?.permute(&order));
    }
    Layout::collapse(&mut layouts);
    Ok(Plan { shape, strides, layouts })
}

/// `out = f(inputs)` for tensors of one shape, outside the graph: one dense loop, after copies where memory orders differ.
pub fn map_same<T: Element, const N: usize, const WIDE: bool>(
    inputs: &[&Tensor],
    f: impl Fn([T; N]) -> T + Copy + Sync,
) -> Result<Tensor> {
    let first = movement::dense(&inputs[0].detach()?)?;
    let mut same: Vec<Tensor> = vec![first.clone()];
    for input in &inputs[1..] {
        ensure!(input.shape() == first.shape(), Internal, "{:?} beside {:?}", input.shape(), first.shape());
        same.push(if input.strides() == first.strides() {
            input.detach()?
        } else {
            movement::copy_like(input, &first)?
        });
    }
    let data: [&[T]; N] = std::array::from_fn(|k| same[k].slice::<T>());
    let mut out = Buffer::<T>::new(first.numel())?;
    map_dense::<_, _, N, WIDE>(data, &mut out, f);
    Ok(Tensor::from_buffer_strided(out, first.shape(), first.layout().strides.clone(), first.dtype()))
}

/// The names of all rows.
#[cfg(test)]
pub fn names() -> Vec<&'static str> {
    UNARY.iter().chain(BINARY).map(|name| name.trim_end_matches('_')).collect()
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    let s: &[usize] = &[2, 3, 5];
    let images: &[usize] = &[2, 3, 4, 5];
    let mut cases = Vec::new();
    let mut one = |op, input: Input, f: fn(&Tensor) -> Result<Tensor>, reference: fn(f64) -> f64| {
        cases.push(case(op, "", [input], move |t| f(&t[0])).equals(each(move |x| reference(x[0]))));
    };
    one("neg", normal(images), neg, |x| -x);
    one("abs", nonzero(images), abs_, f64::abs);
    one("exp", normal(s), exp_, f64::exp);
    one("expm1", normal(s), expm1_, f64::exp_m1);
    one("log", positive(s), log_, f64::ln);
    one("log1p", positive(s), log1p_, f64::ln_1p);
    one("sqrt", positive(s), sqrt_, f64::sqrt);
    one("rsqrt", positive(s), rsqrt, |x| 1.0 / x.sqrt());
    one("square", normal(s), square, |x| x * x);
    one("reciprocal", nonzero(s), reciprocal, |x| 1.0 / x);
    one("sign", nonzero(s), sign_, f64::signum);
    one("sin", normal(s), sin_, f64::sin);
    one("cos", normal(s), cos_, f64::cos);
    one("tanh", normal(s), tanh_, f64::tanh);
    one("erf", normal(s), erf_, libm::erf);
    one("floor", fraction(s), floor_, f64::floor);
    one("ceil", fraction(s), ceil_, f64::ceil);
    one("round", fraction(s), round_, f64::round_ties_even);
    one("relu", nonzero(images), relu, |x| x.max(0.0));
    one("sigmoid", normal(s), sigmoid, |x| 1.0 / (1.0 + (-x).exp()));
    one("log_sigmoid", normal(s), log_sigmoid, |x| -(-x).exp().ln_1p());
    one("silu", normal(s), silu, |x| x / (1.0 + (-x).exp()));
    let normal_below = |x: f64| 0.5 * (1.0 + libm::erf(x / 2f64.sqrt()));
    let tanh_gelu =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh());
    cases.push(
        case("gelu_exact", "", [normal(s)], |t| gelu_exact(&t[0])).equals(each(move |x| x[0] * normal_below(x[0]))),
    );
    cases.push(case("gelu_tanh", "", [normal(s)], |t| gelu_tanh(&t[0])).equals(each(move |x| tanh_gelu(x[0]))));

    let mut with = |op, variant, input: Input, f: fn(&Tensor) -> Result<Tensor>, reference: fn(f64) -> f64| {
        cases.push(case(op, variant, [input], move |t| f(&t[0])).equals(each(move |x| reference(x[0]))));
    };
    with("add_scalar", "", normal(images), |x| add_scalar(x, 1.5), |x| x + 1.5);
    with("mul_scalar", "", normal(s), |x| mul_scalar(x, -1.5), |x| x * -1.5);
    with("div_scalar", "", normal(s), |x| div_scalar(x, 0.75), |x| x / 0.75);
    with("rsub_scalar", "", normal(s), |x| rsub_scalar(x, 1.5), |x| 1.5 - x);
    with("rdiv_scalar", "", nonzero(s), |x| rdiv_scalar(x, 1.5), |x| 1.5 / x);
    with("pow_scalar", "fractional", positive(s), |x| pow_scalar(x, 1.7), |x| x.powf(1.7));
    with("pow_scalar", "cube of negatives", nonzero(s), |x| pow_scalar(x, 3.0), |x| x.powi(3));
    with("clamp_both", "", nonzero(s), |x| clamp_both(x, -0.1, 0.1), |x| x.clamp(-0.1, 0.1));
    with("clamp_both", "nothing outside", nonzero(s), |x| clamp_both(x, -9.0, 9.0), |x| x);
    with("leaky_relu", "", nonzero(s), |x| leaky_relu_(x, 0.25), |x| if x > 0.0 { x } else { 0.25 * x });
    with("elu", "", nonzero(s), |x| elu_(x, 1.5), |x| if x > 0.0 { x } else { 1.5 * x.exp_m1() });
    with("softplus", "", normal(s), |x| softplus_(x, 2.0, 20.0), |x| (2.0 * x).exp().ln_1p() / 2.0);
    with(
        "softplus",
        "past the threshold",
        nonzero(s),
        |x| softplus_(x, 2.0, 0.2),
        |x| {
            if 2.0 * x > 0.2 { x } else { (2.0 * x).exp().ln_1p() / 2.0 }
        },
    );

    type Pair = fn(&Tensor, &Tensor) -> Result<Tensor>;
    let rows: [(&'static str, fn(&[usize]) -> Input, fn(&[usize]) -> Input, Pair, fn(f64, f64) -> f64); 8] = [
        ("add", normal, normal, add, |a, b| a + b),
        ("sub", normal, normal, sub, |a, b| a - b),
        ("mul", normal, normal, mul, |a, b| a * b),
        ("div", normal, nonzero, div, |a, b| a / b),
        ("pow_tensor", positive, normal, pow_tensor, f64::powf),
        ("maximum", distinct, distinct, maximum, f64::max),
        ("minimum", distinct, distinct, minimum, f64::min),
        ("atan2", nonzero, nonzero, atan2_, f64::atan2),
    ];
    let broadcasts: [(&'static str, &[usize], &[usize]); 6] = [
        ("same shape", &[2, 3, 5], &[2, 3, 5]),
        ("a row to a matrix", &[4, 3], &[3]),
        ("a column and a row", &[4, 1], &[3]),
        ("a scalar", &[], &[4, 3]),
        ("channels of images", &[2, 3, 4, 5], &[3, 1, 1]),
        ("both ways in the middle", &[2, 1, 5], &[4, 1]),
    ];
    for (op, make_a, make_b, f, reference) in rows {
        for (variant, a, b) in broadcasts {
            let inputs = [make_a(a), make_b(b)];
            cases
                .push(case(op, variant, inputs, move |t| f(&t[0], &t[1])).equals(each(move |x| reference(x[0], x[1]))));
        }
    }
    use Comparison::*;
    for comparison in [Equal, NotEqual, Less, LessEqual, Greater, GreaterEqual] {
        let run = move |t: &[Tensor]| compare(comparison, &t[0], &t[1]);
        let reference = move |x: &[f64]| match comparison {
            Equal => f64::from(x[0] == x[1]),
            NotEqual => f64::from(x[0] != x[1]),
            Less => f64::from(x[0] < x[1]),
            LessEqual => f64::from(x[0] <= x[1]),
            Greater => f64::from(x[0] > x[1]),
            GreaterEqual => f64::from(x[0] >= x[1]),
        };
        cases.push(
            case("comparison", "floats", [normal(&[4, 3]), normal(&[3])], run).equals(each(reference)).drops_nan(),
        );
        cases.push(case("comparison", "integers", [index(3, &[4, 5]), index(3, &[5])], run).equals(each(reference)));
    }
    cases
}
