//! Batch norm on a GPU, alone or with the sum and the rectifier behind it: sums of each channel in workgroups, then one pass
//! over the elements. Two or three launches forward, and as many back.

use crate::dtype::DType;
use crate::error::Result;
use crate::ops::channel_sums_gpu::{Sums, bindings, piecewise, tile_of};
use crate::ops::elementwise_gpu::{Expression, map};
use crate::ops::kernel::{self, Kernel};
use crate::ops::movement::contiguous;
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;

/// Mean, variance, 1/σ and the result.
pub struct Forward {
    pub mean: Tensor,
    pub variance: Tensor,
    pub inverse: Tensor,
    pub y: Tensor,
}

/// What follows the normalisation.
#[derive(Clone, Copy)]
pub struct Behind<'a> {
    pub residual: Option<&'a Tensor>,
    pub rectified: bool,
}

/// Mean and biased variance of each channel, and 1/√(variance + ε). A piece is centred on its own mean; what pieces found is
/// put together by Chan, Golub, LeVeque (1979).
fn moments(x: &Tensor, epsilon: f64) -> Result<[Tensor; 3]> {
    let sums = Sums::of(x)?;
    let [mean, variance, inverse] = [sums.per_channel()?, sums.per_channel()?, sums.per_channel()?];
    let element = kernel::load(x.dtype(), "x", "p(9u) + place(e, c)");
    let own = format!(
        "let count = f32(end - first);
var part = 0.0;
for (var e = first + lane; e < end; e += STEP) {{ part += {element}; }}
let mean = sum_of(local, part) / count;
part = 0.0;
for (var e = first + lane; e < end; e += STEP) {{ let d = {element} - mean; part += d * d; }}
let squares = sum_of(local, part);"
    );
    let (tile, dtype) = (tile_of(sums.inner), x.dtype());
    let finish = "variances[to_variance + c] = squares / count;
inverses[to_inverse + c] = 1.0 / sqrt(squares / count + pf(8u));";
    if sums.pieces() == 1 {
        let text = || {
            let names = ["x", "means", "variances", "inverses"];
            let body = format!(
                "{own}
if (told) {{
let to_variance = p(11u);
let to_inverse = p(12u);
means[p(10u) + c] = mean;
{finish}
}}"
            );
            piecewise(sums.inner, &names, &[dtype], 3, &body)
        };
        sums.run(
            &format!("moments of channels {tile} {}", dtype.name()),
            &text,
            &[epsilon as f32],
            &[x],
            &[],
            &[&mean, &variance, &inverse],
        )?;
        return Ok([mean, variance, inverse]);
    }
    let pieces = sums.pieces();
    let found = kernel::output_of(&sums.gpu, &[pieces, sums.channels, 3], DType::F32)?;
    let text = || {
        let body = format!(
            "{own}
if (told) {{
let to = p(10u) + ((p(6u) + work % p(1u)) * p(7u) + c) * 3u;
found[to] = count;
found[to + 1u] = mean;
found[to + 2u] = squares;
}}"
        );
        piecewise(sums.inner, &["x", "found"], &[dtype], 1, &body)
    };
    sums.run(&format!("moments of pieces {tile} {}", dtype.name()), &text, &[0.0], &[x], &[], &[&found])?;
    let text = || {
        format!(
            "{}fn each(i: u32) {{

if (i >= p(0u)) {{ return; }}
let c = i;
let to_variance = p(11u);
let to_inverse = p(12u);
var count = 0.0;
var mean = 0.0;
var squares = 0.0;
for (var piece = 0u; piece < p(1u); piece += 1u) {{
    let at = p(9u) + (piece * p(0u) + c) * 3u;
    let more = found[at];
    let d = found[at + 1u] - mean;
    let all = count + more;
    mean += d * (more / all);
    squares += found[at + 2u] + d * d * (count * (more / all));
    count = all;
}}
means[p(10u) + c] = mean;
{finish}
}}
",
            bindings(&["found", "means", "variances", "inverses"], &[], 3)
        )
    };
    finish_channels(&sums, "moments of all pieces", &text, epsilon as f32, &[&found], &[&mean, &variance, &inverse])?;
    Ok([mean, variance, inverse])
}

/// An invocation a channel. p(0) and p(7): channels, p(1): pieces, p(8): a constant; p(9) on: places.
fn finish_channels(
    sums: &Sums,
    key: &str,
    wgsl: &dyn Fn() -> String,
    constant: f32,
    inputs: &[&Tensor],
    outputs: &[&Tensor],
) -> Result<()> {
    let mut launch = Kernel::new(&sums.gpu);
    launch.set_sizes(&[sums.channels, sums.pieces(), 0, 0, 0, 0, 0, sums.channels]);
    launch.set_floats(&[constant]);
    for tensor in inputs {
        let place = launch.read(tensor)?;
        launch.set(&[place]);
    }
    for tensor in outputs {
        let place = launch.write(tensor)?;
        launch.set(&[place]);
    }
    launch.run_each(key, wgsl, sums.channels)
}

/// A vector [C] as it broadcasts over the channels of x.
fn along(vector: &Tensor, x: &Tensor) -> Result<Tensor> {
    let mut shape = Dims::from_elem(1, x.ndim());
    shape[1] = x.shape()[1];
    let mut strides = Dims::from_elem(0, x.ndim());
    strides[1] = vector.strides()[0];
    vector.alias(Layout { shape, strides, offset: vector.layout().offset })
}

/// Inputs of an expression under their names; vectors along the channels of the first.
struct Inputs {
    names: Vec<&'static str>,
    tensors: Vec<Tensor>,
}

impl Inputs {
    fn new(name: &'static str, x: &Tensor) -> Inputs {
        Inputs { names: vec![name], tensors: vec![x.clone()] }
    }

    fn with(mut self, name: &'static str, tensor: &Tensor) -> Inputs {
        self.names.push(name);
        self.tensors.push(tensor.clone());
        self
    }

    /// A vector over the channels, if there is one.
    fn along(self, name: &'static str, vector: Option<&Tensor>) -> Result<Inputs> {
        let Some(vector) = vector else { return Ok(self) };
        let vector = along(vector, &self.tensors[0])?;
        Ok(self.with(name, &vector))
    }

    fn map(&self, name: &str, constants: &[&str], values: &[f32], text: &str, dtype: DType) -> Result<Tensor> {
        let inputs: Vec<&Tensor> = self.tensors.iter().collect();
        let name = format!("{name} {}", self.names.join(" "));
        map(&Expression { name: &name, inputs: &self.names, constants, text }, values, &inputs, dtype)
    }
}

/// What x − m is multiplied by, in the names i, and w where it is there.
fn scale(weight: bool) -> &'static str {
    if weight { "(i * w)" } else { "i" }
}

/// The normalised element, in the names x, m, those of `scale`, and b where it is there.
fn normalized(scale: &str, bias: bool) -> String {
    format!("(x - m) * {scale}{}", if bias { " + b" } else { "" })
}

/// `given`: mean and variance to use instead of the batch's own. The result has the type of x, everything else is float32.
pub fn forward(
    x: &Tensor,
    given: Option<(&Tensor, &Tensor)>,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    epsilon: f64,
    behind: Behind,
) -> Result<Forward> {
    let [mean, variance, inverse] = match given {
        Some((mean, variance)) => {
            let variance = contiguous(variance)?;
            let text = "1.0 / sqrt(x + e)";
            let inverse =
                Inputs::new("x", &variance).map("inverse deviation", &["e"], &[epsilon as f32], text, DType::F32)?;
            [contiguous(mean)?, variance, inverse]
        }
        None => moments(x, epsilon)?,
    };
    let mut inputs = Inputs::new("x", x)
        .along("m", Some(&mean))?
        .along("i", Some(&inverse))?
        .along("w", weight)?
        .along("b", bias)?;
    let mut text = normalized(scale(weight.is_some()), bias.is_some());
    if let Some(residual) = behind.residual {
        inputs = inputs.with("r", residual);
        text += " + r";
    }
    if behind.rectified {
        // A NaN stays one.
        text = format!("select({text}, 0.0, ({text}) < 0.0)");
    }
    let name = if behind.rectified { "normalised and rectified" } else { "normalised" };
    let y = inputs.map(name, &[], &[], &text, x.dtype())?;
    Ok(Forward { mean, variance, inverse, y })
}

/// Where the rectifier behind the normalised x (without residual) passes a gradient: 1, else 0.
pub fn passes(
    x: &Tensor,
    [mean, inverse]: [&Tensor; 2],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let inputs =
        Inputs::new("x", x).along("m", Some(mean))?.along("i", Some(inverse))?.along("w", weight)?.along("b", bias)?;
    let text = format!("select(0.0, 1.0, {} > 0.0)", normalized(scale(weight.is_some()), bias.is_some()));
    inputs.map("passed", &[], &[], &text, DType::F32)
}

/// The gradient where y is above 0, else 0.
pub fn passed_where_positive(y: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let inputs = Inputs::new("y", y).with("g", gradient);
    inputs.map("passed where positive", &[], &[], "select(0.0, g, y > 0.0)", gradient.dtype())
}

/// What the gradient goes through on its way to the inputs.
#[derive(Clone, Copy)]
pub struct Through<'a> {
    pub weight: Option<&'a Tensor>,
    /// The rectifier's bias, if there is a rectifier (without residual) and it has one.
    pub rectifier: Option<Option<&'a Tensor>>,
    /// The batch's own statistics normalised, which the gradient goes through.
    pub own: bool,
}

/// Gradients of x, weight and bias. The gradient lies in memory as x does: dense, row-major or with channels innermost.
pub fn gradient(
    x: &Tensor,
    gradient: &Tensor,
    [mean, inverse]: [&Tensor; 2],
    through: Through,
    needs: [bool; 3],
) -> Result<[Option<Tensor>; 3]> {
    let Through { weight, rectifier, own } = through;
    let bias = rectifier.flatten();
    let channel = Channel { mean, inverse, weight, bias, rectified: rectifier.is_some() };
    let sums = if own || needs[1] || needs[2] { Some(gradient_sums(x, gradient, &channel)?) } else { None };
    let dx = match &sums {
        _ if !needs[0] => None,
        Some(sums) if own => Some(input_gradient(x, gradient, &channel, sums)?),
        _ => {
            let mut inputs = Inputs::new("g", gradient);
            if rectifier.is_some() {
                inputs = inputs.with("x", x).along("m", Some(mean))?;
            }
            inputs = inputs.along("i", Some(inverse))?.along("w", weight)?.along("b", bias)?;
            let scale = scale(weight.is_some());
            let text = format!("{} * {scale}", channel.passed(scale));
            Some(inputs.map("gradient of given", &[], &[], &text, x.dtype())?)
        }
    };
    let row = |k: usize| match &sums {
        Some(sums) => sums.alias(Layout { offset: k * x.shape()[1], ..Layout::contiguous(&x.shape()[1..2]) }).map(Some),
        None => Ok(None),
    };
    Ok([dx, row(2)?.filter(|_| needs[1]), row(0)?.filter(|_| needs[2])])
}

/// What is the same for all elements of a channel, [C] each; the bias only behind a rectifier, without which it does not matter.
struct Channel<'a> {
    mean: &'a Tensor,
    inverse: &'a Tensor,
    weight: Option<&'a Tensor>,
    bias: Option<&'a Tensor>,
    rectified: bool,
}

impl Channel<'_> {
    /// The gradient that passes, an expression in g and the names of [`normalized`].
    fn passed(&self, scale: &str) -> String {
        match self.rectified {
            true => format!("select(0.0, g, {} > 0.0)", normalized(scale, self.bias.is_some())),
            false => "g".to_string(),
        }
    }

    /// The vectors that are there, with the names of their bindings and in expressions.
    fn vectors(&self) -> Vec<(&Tensor, &'static str, &'static str)> {
        let all = [Some(self.mean), Some(self.inverse), self.weight, self.bias];
        let names = [("means", "m"), ("inverses", "i"), ("weights", "w"), ("biases", "b")];
        all.into_iter().zip(names).filter_map(|(vector, (binding, name))| Some((vector?, binding, name))).collect()
    }

    /// Reads them for channel c; the place of the first is p(`first`).
    fn read(&self, first: usize) -> String {
        let vectors = self.vectors();
        let line =
            |(k, (_, binding, name)): (usize, &(_, _, _))| format!("let {name} = {binding}[p({}u) + c];\n", first + k);
        vectors.iter().enumerate().map(line).collect()
    }
}

/// What [`gradient_sums`] finds of a channel, a row each: the sum of the passed gradient, of its products with x − m, and the latter
/// over σ; then what [`input_gradient`] needs: the scale weight / σ, the mean of the passed gradient, and that of its products
/// over σ².
const SUMS: usize = 6;

/// The rows for channel c, from `sum` and `product`, its 1/σ `i` and perhaps its weight `w`; `count` elements as pf(8).
fn store_sums(to: &str, weight: bool) -> String {
    let rows = ["sum", "product", "product * i", scale(weight), "sum * pf(8u)", "i * i * pf(8u) * product"];
    let line = |(k, value): (usize, &&str)| format!("found[{to} + {k}u * p(7u) + c] = {value};\n");
    rows.iter().enumerate().map(line).collect()
}

/// [[`SUMS`], C].
fn gradient_sums(x: &Tensor, gradient: &Tensor, channel: &Channel) -> Result<Tensor> {
    let sums = Sums::of(x)?;
    let out = kernel::output_of(&sums.gpu, &[SUMS, sums.channels], DType::F32)?;
    let share = 1.0 / (x.numel() / sums.channels) as f32;
    let single = sums.pieces() == 1;
    let found = if single {
        out.clone()
    } else {
        kernel::output_of(&sums.gpu, &[sums.pieces(), sums.channels, 2], DType::F32)?
    };
    let vectors = channel.vectors();
    let names = ["xs", "gs"].into_iter().chain(vectors.iter().map(|(_, name, _)| *name)).chain(["found"]);
    let names: Vec<&str> = names.collect();
    let types = [x.dtype(), gradient.dtype()];
    let passed = channel.passed(scale(channel.weight.is_some()));
    let text = || {
        let to = format!("p({}u)", 8 + names.len());
        let store = match single {
            true => store_sums(&to, channel.weight.is_some()),
            false => format!(
                "let to = {to} + ((p(6u) + work % p(1u)) * p(7u) + c) * 2u;\nfound[to] = sum;\nfound[to + 1u] = product;"
            ),
        };
        let [x, g] = [("xs", 9, types[0]), ("gs", 10, types[1])]
            .map(|(name, place, dtype)| kernel::load(dtype, name, &format!("p({place}u) + at")));
        let body = format!(
            "{}var sums = 0.0;
var products = 0.0;
for (var e = first + lane; e < end; e += STEP) {{
    let at = place(e, c);
    let x = {x};
    let g = {g};
    let through = {};
    sums += through;
    products += through * (x - m);
}}
let sum = sum_of(local, sums);
let product = sum_of(local, products);
if (told) {{
{store}
}}",
            channel.read(11),
            passed
        );
        piecewise(sums.inner, &names, &types, 1, &body)
    };
    let key =
        format!("gradient sums of channels {single} {} {} {passed} {types:?}", tile_of(sums.inner), names.join(" "));
    let given: Vec<&Tensor> = vectors.iter().map(|(vector, ..)| *vector).collect();
    sums.run(&key, &text, &[share], &[x, gradient], &given, &[&found])?;
    if !single {
        let weight = channel.weight.is_some();
        let mut inputs = vec![&found, channel.inverse];
        inputs.extend(channel.weight);
        let text = || {
            let names: &[&str] =
                if weight { &["pieces", "inverses", "weights", "found"] } else { &["pieces", "inverses", "found"] };
            format!(
                "{}fn each(i: u32) {{

let c = i;
if (c >= p(0u)) {{ return; }}
var sum = 0.0;
var product = 0.0;
for (var piece = 0u; piece < p(1u); piece += 1u) {{
    let at = p(9u) + (piece * p(0u) + c) * 2u;
    sum += pieces[at];
    product += pieces[at + 1u];
}}
{{
let i = inverses[p(10u) + c];
{}{}}}
}}
",
                bindings(names, &[], 1),
                if weight { "let w = weights[p(11u) + c];\n" } else { "" },
                store_sums(if weight { "p(12u)" } else { "p(11u)" }, weight)
            )
        };
        let key = format!("gradient sums of all pieces {weight}");
        finish_channels(&sums, &key, &text, share, &inputs, &[&out])?;
    }
    Ok(out)
}

/// The gradient that goes through the batch's own statistics (Ioffe & Szegedy 2015, section 3), from [`gradient_sums`].
fn input_gradient(x: &Tensor, gradient: &Tensor, channel: &Channel, sums: &Tensor) -> Result<Tensor> {
    let row = |k: usize| sums.alias(Layout { offset: k * x.shape()[1], ..Layout::contiguous(&x.shape()[1..2]) });
    let inputs = Inputs::new("x", x)
        .with("g", gradient)
        .along("m", Some(channel.mean))?
        .along("scale", Some(&row(3)?))?
        .along("b", channel.bias)?
        .along("s", Some(&row(4)?))?
        .along("q", Some(&row(5)?))?;
    let text = format!("({} - s - (x - m) * q) * scale", channel.passed("scale"));
    let name = if channel.rectified { "gradient of normalised and rectified" } else { "gradient of normalised" };
    inputs.map(name, &[], &[], &text, x.dtype())
}
