//! Products of matrices: PyTorch's `matmul` with its rules for vectors and batches, and the linear layer.

use crate::autocast;
use crate::cpu::gemm::{Batch, Matrix, Update, gemm, gemm_batched};
use crate::cpu::gemm_bf16::gemm_bf16;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
use crate::ops::half::{Product, bias_gradient, half_matrix, products_of_half};
#[cfg(feature = "gpu")]
use crate::ops::matmul_gpu;
use crate::ops::movement;
use crate::profile::product_operations;
use crate::shape::{Dims, Layout, broadcast};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{bail, dispatch_float, ensure};

/// The product of matrices [..., m, k] · [..., k, n] = [..., m, n] with the leading dimensions broadcast.
/// A vector on the left is a row, one on the right a column; that dimension is not in the result. Under autocast a float32
/// matrix beside a 16-bit one is rounded; two float32 matrices stay float32, so that similarities and covariances in losses do.
pub fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check(a, b)?;
    if a.ndim() == 1 {
        let product = matmul(&movement::unsqueeze(a, 0)?, b)?;
        return movement::squeeze(&product, Some(if b.ndim() == 1 { 0 } else { -2 }));
    }
    if b.ndim() == 1 {
        return movement::squeeze(&matmul(a, &movement::unsqueeze(b, 1)?)?, Some(-1));
    }
    let (rows, columns) = (a.shape()[a.ndim() - 2], b.shape()[b.ndim() - 1]);
    let inner = b.shape()[b.ndim() - 2];
    let batch = broadcast("matmul", &a.shape()[..a.ndim() - 2], &b.shape()[..b.ndim() - 2])?;
    let shaped = |last: [usize; 2]| Dims::from_iter(batch.iter().copied().chain(last));
    if b.ndim() == 2 {
        // One matrix for the whole batch: all rows of the batch are rows of one product.
        let flat = movement::reshape_to(a, &[batch.iter().product::<usize>() * rows, inner])?;
        return movement::reshape_to(&apply_one(Matmul::between(&flat, b), &[&flat, b])?, &shaped([rows, columns]));
    }
    let (a, b) = (movement::expand(a, &shaped([rows, inner]))?, movement::expand(b, &shaped([inner, columns]))?);
    apply_one(Matmul::between(&a, &b), &[&a, &b])
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    ensure!(
        a.ndim() > 0 && b.ndim() > 0,
        Shape,
        "matmul: needs vectors or matrices, not shapes {:?} and {:?}",
        a.shape(),
        b.shape()
    );
    let (k, l) = (a.shape()[a.ndim() - 1], b.shape()[b.ndim().saturating_sub(2)]);
    ensure!(
        k == l,
        Shape,
        "matmul: {:?} and {:?} do not fit: {k} columns on the left meet {l} rows on the right",
        a.shape(),
        b.shape()
    );
    same_dtype("matmul", a, b)
}

fn same_dtype(op: &str, a: &Tensor, b: &Tensor) -> Result<()> {
    if !autocast::mixes(a.dtype(), b.dtype()) {
        bail!(Dtype, "{op}: {} and {} do not mix; convert one with .to(…)", a.dtype().name(), b.dtype().name());
    }
    Ok(())
}

/// Both inputs have the same leading dimensions (any strides, 0 included) and type; or one is a 16-bit float and the other that
/// or float32, which is rounded on the way.
struct Matmul {
    /// The type of the result: that of the inputs, where none is a 16-bit float.
    result: DType,
}

impl Matmul {
    /// The result is a 16-bit float if one of them is.
    fn between(a: &Tensor, b: &Tensor) -> Matmul {
        Matmul::of(if b.dtype().is_half() { b } else { a })
    }

    /// The result has the type of `input`.
    fn of(input: &Tensor) -> Matmul {
        Matmul { result: input.dtype() }
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [a, b] = [inputs[0], inputs[1]];
        save_factors(a, b, context)?;
        let lead = a.ndim() - 2;
        let [m, k, n] = [a.shape()[lead], a.shape()[lead + 1], b.shape()[lead + 1]];
        let mut shape = Dims::from_slice(a.shape());
        shape[lead + 1] = n;
        let target = Layout::contiguous(&shape);
        if self.takes_half(inputs) {
            let mut out = Product::new(self.result, &shape)?;
            for_each_batch([a.layout(), b.layout(), &target], lead, |sizes, [in_a, in_b, in_out]| {
                gemm_bf16(sizes, [m, n, k], half_matrix(a, in_a), half_matrix(b, in_b), None, out.from(in_out), n);
            });
            return Ok(vec![out.into_tensor(&shape)]);
        }
        Ok(vec![dispatch_float!(a.dtype(), "matmul", T => {
            let mut out = Buffer::<T>::new(shape.iter().product())?;
            for_each_batch([a.layout(), b.layout(), &target], lead, |sizes, [in_a, in_b, in_out]| {
                let (a, b) = (last_two::<T>(a, in_a), last_two::<T>(b, in_b));
                gemm_batched(sizes, [m, n, k], 1.0, a, b, Update::Overwrite, &mut out[in_out..], n);
            });
            Tensor::from_buffer(out, &shape)
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        save_factors(inputs[0], inputs[1], context)?;
        float_of_gpu("matmul", inputs[0])?;
        Ok(vec![matmul_gpu::matmul(inputs[0], inputs[1], None, self.result)?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        products_of_half(inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [a, b] = [&pass.saved[0], &pass.saved[1]];
        let gradient = pass.grad();
        let da = pass
            .needs(0)
            .then(|| apply_one(Matmul::of(a), &[gradient, &movement::transpose(b, -2, -1)?]))
            .transpose()?;
        let db = pass
            .needs(1)
            .then(|| apply_one(Matmul::of(b), &[&movement::transpose(a, -2, -1)?, gradient]))
            .transpose()?;
        Ok(vec![da, db])
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        product_operations(shapes[0]) * shapes[1].last().map_or(1, |&n| n as u64)
    }
}

/// Keeps of two factors what their gradients need: each is made of the other.
fn save_factors(a: &Tensor, b: &Tensor, context: &mut Context) -> Result<()> {
    for (input, other) in [(a, 1), (b, 0)] {
        if context.needs(other) {
            context.save(input)?;
        } else {
            movement::save_shape(input, context)?;
        }
    }
    Ok(())
}

#[cfg(feature = "gpu")]
fn float_of_gpu(op: &str, x: &Tensor) -> Result<()> {
    if !matches!(x.dtype(), DType::F32 | DType::F16) {
        return Err(crate::ops::elementwise::not_float(op, x.dtype()));
    }
    Ok(())
}

/// Calls `run` with pairs of batch axes and where the three matrices begin: two axes at a time, further ones in a loop.
fn for_each_batch(layouts: [&Layout; 3], lead: usize, mut run: impl FnMut(Batch, [usize; 3])) {
    let mut batch = layouts.map(|layout| Layout {
        shape: Dims::from_slice(&layout.shape[..lead]),
        strides: Dims::from_slice(&layout.strides[..lead]),
        offset: 0,
    });
    Layout::collapse(&mut batch);
    let outer = batch[0].ndim().saturating_sub(2);
    let axes = |layout: &Layout| {
        let mut axes = [0; 2];
        axes[2 - (layout.ndim() - outer)..].copy_from_slice(&layout.strides[outer..]);
        axes
    };
    let mut counts = [1; 2];
    counts[2 - (batch[0].ndim() - outer)..].copy_from_slice(&batch[0].shape[outer..]);
    let [a_strides, b_strides, c_strides] = [axes(&batch[0]), axes(&batch[1]), axes(&batch[2])];
    let loops = if layouts[2].numel() == 0 { &[0] } else { &batch[0].shape[..outer] };
    crate::shape::each_index(loops, |index| {
        let start = |layout: &Layout| index.iter().zip(&layout.strides).map(|(i, s)| i * s).sum::<usize>();
        let starts = [start(&batch[0]), start(&batch[1]), start(&batch[2])];
        run(Batch { counts, a_strides, b_strides, c_strides }, starts);
    });
}

/// The matrix of the last two dimensions that begins `start` elements behind the first.
fn last_two<T: Element>(tensor: &Tensor, start: usize) -> Matrix<'_, T> {
    let [row_stride, column_stride] = *tensor.strides().last_chunk().expect("two dimensions");
    // An empty tensor may begin behind the end of its storage.
    let data = tensor.storage_slice::<T>().get(tensor.layout().offset + start..).unwrap_or(&[]);
    Matrix { data, row_stride, column_stride }
}

/// x · weightᵀ + bias: [..., in] with weight [out, in] and bias [out] gives [..., out].
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    ensure!(
        x.ndim() >= 1 && weight.ndim() == 2 && x.shape()[x.ndim() - 1] == weight.shape()[1],
        Shape,
        "linear: input {:?} does not fit weight {:?}: the last dimension of the input must be weight's second (in features)",
        x.shape(),
        weight.shape()
    );
    same_dtype("linear", x, weight)?;
    let x = &autocast::operand(x)?;
    let [outputs, features] = [weight.shape()[0], weight.shape()[1]];
    if let Some(bias) = bias {
        ensure!(
            bias.shape() == [outputs],
            Shape,
            "linear: bias {:?} does not fit weight {:?}: it needs one value for each of the {outputs} outputs",
            bias.shape(),
            weight.shape()
        );
        same_dtype("linear", x, bias)?;
    }
    let lead = &x.shape()[..x.ndim() - 1];
    let flat = movement::reshape_to(x, &[lead.iter().product(), features])?;
    let inputs: Vec<&Tensor> = [&flat, weight].into_iter().chain(bias).collect();
    let y = apply_one(Linear { bias: bias.is_some() }, &inputs)?;
    movement::reshape_to(&y, &Dims::from_iter(lead.iter().copied().chain([outputs])))
}

/// Inputs [rows, in], weight [out, in] and perhaps bias [out]; types as in [`Matmul`], the result has that of the inputs.
struct Linear {
    bias: bool,
}

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let [x, weight] = [inputs[0], inputs[1]];
        save_factors(x, weight, context)?;
        if self.bias {
            movement::save_shape(inputs[2], context)?;
        }
        let [rows, features, outputs] = [x.shape()[0], x.shape()[1], weight.shape()[0]];
        let bias = inputs.get(2).map(|bias| movement::contiguous(&bias.detach()?)).transpose()?;
        if self.takes_half(inputs) {
            let mut out = Product::new(x.dtype(), &[rows, outputs])?;
            let bias = bias.map(|bias| movement::to_dtype(&bias, DType::F32)).transpose()?;
            let bias = bias.as_ref().map(|bias| bias.slice::<f32>());
            let (a, b) = (half_matrix(x, 0), half_matrix(weight, 0).transposed());
            gemm_bf16(Batch::ONE, [rows, outputs, features], a, b, bias, out.from(0), outputs);
            return Ok(vec![out.into_tensor(&[rows, outputs])]);
        }
        Ok(vec![dispatch_float!(x.dtype(), "linear", T => {
            let mut out = Buffer::<T>::new(rows * outputs)?;
            let update = bias.as_ref().map_or(Update::Overwrite, |bias| Update::Bias(bias.slice::<T>()));
            gemm([rows, outputs, features], 1.0, last_two::<T>(x, 0), last_two::<T>(weight, 0).transposed(), update, &mut out, outputs);
            Tensor::from_buffer(out, &[rows, outputs])
        })])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        save_factors(inputs[0], inputs[1], context)?;
        float_of_gpu("linear", inputs[0])?;
        let weight = movement::transpose(&inputs[1].detach()?, 0, 1)?;
        if self.bias {
            movement::save_shape(inputs[2], context)?;
        }
        Ok(vec![matmul_gpu::matmul(inputs[0], &weight, inputs.get(2).copied(), inputs[0].dtype())?])
    }

    fn takes_half(&self, inputs: &[&Tensor]) -> bool {
        products_of_half(inputs)
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [x, weight, gradient] = [&pass.saved[0], &pass.saved[1], pass.grad()];
        let mut gradients = vec![
            pass.needs(0).then(|| apply_one(Matmul::of(x), &[gradient, weight])).transpose()?,
            pass.needs(1)
                .then(|| apply_one(Matmul::of(weight), &[&movement::transpose(gradient, 0, 1)?, x]))
                .transpose()?,
        ];
        if self.bias {
            gradients.push(
                pass.needs(2)
                    .then(|| bias_gradient(gradient, &[0], pass.saved.get(2).unwrap_or(gradient)))
                    .transpose()?,
            );
        }
        Ok(gradients)
    }

    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        product_operations(shapes[0]) * shapes[1][0] as u64
    }
}

#[cfg_attr(feature = "node", napi_derive::napi)]
impl Tensor {
    /// The product of matrices [..., m, k] · [..., k, n] with the leading dimensions broadcast; a vector on the left is a
    /// row, one on the right a column.
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        matmul(self, other)
    }

    /// This · weightᵀ + bias: [..., in] with weight [out, in] and bias [out] gives [..., out].
    #[cfg_attr(feature = "node", napi_derive::napi)]
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        linear(self, weight, bias)
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    fn product(arrays: &[Array]) -> Vec<f64> {
        let [a, b] = [&arrays[0], &arrays[1]];
        let lead = a.shape.len().max(b.shape.len()) - 2;
        let [m, k, n] = [a.shape[a.shape.len() - 2], a.shape[a.shape.len() - 1], b.shape[b.shape.len() - 1]];
        let batch = |shape: &[usize]| shape[..shape.len() - 2].to_vec();
        let mut shape = broadcast("", &batch(&a.shape), &batch(&b.shape)).expect("batches that broadcast").to_vec();
        shape.extend([m, n]);
        let mut out = Vec::new();
        each_index(&shape, |index| {
            let mut at = (index.to_vec(), index.to_vec());
            let terms = (0..k).map(|l| {
                (at.0[lead + 1], at.1[lead]) = (l, l);
                a.at(&at.0[lead + 2 - a.shape.len()..]) * b.at(&at.1[lead + 2 - b.shape.len()..])
            });
            out.push(terms.sum());
        });
        out
    }
    let run = |t: &[Tensor]| matmul(&t[0], &t[1]);
    let dense = |a: &[Array]| -> Vec<f64> {
        let [features, outputs] = [a[1].shape[1], a[1].shape[0]];
        let row = |r: usize, o: usize| -> f64 {
            (0..features).map(|i| a[0].values[r * features + i] * a[1].values[o * features + i]).sum()
        };
        let rows: usize = a[0].shape[..a[0].shape.len() - 1].iter().product();
        let bias = |o: usize| a.get(2).map_or(0.0, |b| b.values[o]);
        (0..rows).flat_map(|r| (0..outputs).map(move |o| (r, o))).map(|(r, o)| row(r, o) + bias(o)).collect()
    };
    vec![
        case("matmul", "matrices", [normal(&[3, 5]), normal(&[5, 4])], run).equals(product),
        case("matmul", "larger matrices", [normal(&[13, 40]), normal(&[40, 35])], run).equals(product),
        case("matmul", "batches", [normal(&[2, 3, 5]), normal(&[2, 5, 4])], run).equals(product),
        case("matmul", "a batch and a matrix", [normal(&[2, 3, 5]), normal(&[5, 4])], run).equals(product),
        case("matmul", "a matrix and a batch", [normal(&[3, 5]), normal(&[2, 5, 4])], run).equals(product),
        case("matmul", "broadcast batches", [normal(&[2, 1, 3, 5]), normal(&[7, 5, 4])], run).equals(product),
        case("matmul", "three batch axes", [normal(&[2, 6, 1, 3, 5]), normal(&[2, 1, 7, 5, 4])], run).equals(product),
        case("matmul", "two vectors", [normal(&[5]), normal(&[5])], run)
            .equals(|a| vec![a[0].values.iter().zip(&a[1].values).map(|(a, b)| a * b).sum()]),
        case("matmul", "a vector and a matrix", [normal(&[5]), normal(&[5, 4])], run),
        case("matmul", "a matrix and a vector", [normal(&[3, 5]), normal(&[5])], run),
        case("matmul", "a batch and a vector", [normal(&[2, 3, 5]), normal(&[5])], run),
        case("linear", "", [normal(&[3, 5]), normal(&[4, 5]), normal(&[4])], |t| linear(&t[0], &t[1], Some(&t[2])))
            .equals(dense),
        case("linear", "without bias", [normal(&[3, 5]), normal(&[4, 5])], |t| linear(&t[0], &t[1], None))
            .equals(dense),
        case("linear", "one sample", [normal(&[5]), normal(&[4, 5]), normal(&[4])], |t| {
            linear(&t[0], &t[1], Some(&t[2]))
        })
        .equals(dense),
        case("linear", "of tokens", [normal(&[2, 3, 5]), normal(&[4, 5]), normal(&[4])], |t| {
            linear(&t[0], &t[1], Some(&t[2]))
        })
        .equals(dense),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    #[test]
    fn errors_name_both_shapes() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32).unwrap();
        let message = |result: Result<Tensor>| result.err().expect("an error").message().to_string();
        let text = message(matmul(&zeros(&[2, 3]), &zeros(&[4, 5])));
        assert!(text.contains("[2, 3]") && text.contains("[4, 5]"), "{text}");
        let text = message(linear(&zeros(&[2, 3]), &zeros(&[5, 4]), None));
        assert!(text.contains("[2, 3]") && text.contains("[5, 4]"), "{text}");
        let text = message(linear(&zeros(&[2, 3]), &zeros(&[5, 3]), Some(&zeros(&[3]))));
        assert!(text.contains("[5, 3]") && text.contains("[3]"), "{text}");
        assert_eq!(matmul(&zeros(&[]), &zeros(&[2])).unwrap_err().code(), "ERR_SHAPE");
        let double = Tensor::zeros(&[3, 2], DType::F64).unwrap();
        assert_eq!(matmul(&zeros(&[2, 3]), &double).unwrap_err().code(), "ERR_DTYPE");
    }
}
