//! Scaled dot-product attention, block by block: no matrix of all scores on the way there, nor on the way back.

use crate::autocast;
use crate::autograd;
use crate::cpu::attention::{Attention, Dropout, Mask, Matrices, Output};
use crate::dtype::{DType, Element, Float};
use crate::error::Result;
use crate::op::{Context, Op, Pass, apply_one};
#[cfg(feature = "gpu")]
use crate::ops::attention_gpu;
use crate::ops::elementwise::{Comparison, compare, mul, mul_scalar, sub};
use crate::ops::extreme::amax;
use crate::ops::matmul::matmul;
use crate::ops::movement::{self, transpose};
use crate::ops::reduce::{sum, sum_to};
use crate::ops::softmax::softmax;
use crate::ops::transfer::to_device;
use crate::profile::product_operations;
use crate::shape::{Dims, Layout, broadcast, each_index};
use crate::storage::Buffer;
use crate::tensor::Tensor;
use crate::{dispatch_float, ensure};

/// Which keys a query sees, and how scores are scaled.
#[derive(Clone, Copy, Default)]
pub struct AttentionOptions<'a> {
    /// Broadcast to [..., L, S]. bool or uint8: true where a query sees a key; float: added to the scores.
    pub mask: Option<&'a Tensor>,
    /// Query i sees keys 0..=i only.
    pub causal: bool,
    /// None: 1/√width.
    pub scale: Option<f64>,
    /// Which weights are dropped.
    pub dropout: Option<Dropout>,
}

/// softmax(scale · query · keyᵀ + mask) · value (Vaswani et al. 2017) for query [..., L, E], key [..., S, E] and value
/// [..., S, Ev], leading dimensions broadcast: [..., L, Ev]. A query that sees no key gets zeros, as in PyTorch.
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    options: AttentionOptions,
) -> Result<Tensor> {
    if autocast::dtype().is_some() && query.dtype() != DType::F64 {
        let [q, k, v] = [autocast::operand(query)?, autocast::operand(key)?, autocast::operand(value)?];
        let result = autocast::off(|| scaled_dot_product_attention(&q, &k, &v, options))?;
        return movement::to_dtype(&result, autocast::rounds(query).unwrap_or(DType::F32));
    }
    let [q, k, v] = [query.shape(), key.shape(), value.shape()];
    let last = |shape: &[usize]| (shape[shape.len() - 2], shape[shape.len() - 1]);
    ensure!(
        q.len() >= 2 && k.len() >= 2 && v.len() >= 2 && last(q).1 == last(k).1 && last(k).0 == last(v).0,
        Shape,
        "scaledDotProductAttention: query {q:?}, key {k:?} and value {v:?} do not fit; they are [..., queries, width], \
         [..., keys, width] and [..., keys, width of values]"
    );
    for (name, tensor) in [("key", key), ("value", value)] {
        ensure!(
            tensor.dtype() == query.dtype(),
            Dtype,
            "scaledDotProductAttention: the {name} is {}, the query {}",
            tensor.dtype().name(),
            query.dtype().name()
        );
    }
    let batch = |shape: &[usize]| Dims::from_slice(&shape[..shape.len() - 2]);
    let op = "scaledDotProductAttention";
    let lead = broadcast(op, &broadcast(op, &batch(q), &batch(k))?, &batch(v))?;
    let full = |(rows, columns): (usize, usize)| Dims::from_iter(lead.iter().copied().chain([rows, columns]));
    let inputs = [
        movement::expand(query, &full(last(q)))?,
        movement::expand(key, &full(last(k)))?,
        movement::expand(value, &full(last(v)))?,
    ];
    let mut mask = None;
    if let Some(given) = options.mask {
        let scores = full((last(q).0, last(k).0));
        ensure!(
            given.layout().expand(&scores).is_ok(),
            Shape,
            "scaledDotProductAttention: the mask {:?} does not broadcast to the scores {:?}",
            given.shape(),
            &scores[..]
        );
        ensure!(
            given.dtype() != DType::I64,
            Dtype,
            "scaledDotProductAttention: the mask is int64; it must be bool (true: attend) or float (added)"
        );
        let added = given.dtype().is_float();
        let wide = if query.dtype().is_half() { DType::F32 } else { query.dtype() };
        mask = Some(if added { movement::to_dtype(given, wide)? } else { given.clone() });
    }
    // Without width there is nothing to scale, and 1/√0 would make NaN of it.
    let scale = options.scale.unwrap_or(1.0 / (last(q).1.max(1) as f64).sqrt());
    let inputs: Vec<&Tensor> = inputs.iter().chain(&mask).collect();
    apply_one(DotProductAttention { causal: options.causal, scale, dropout: options.dropout }, &inputs)
}

/// Inputs: query, key and value with the same leading dimensions, perhaps a mask that broadcasts to the scores.
struct DotProductAttention {
    causal: bool,
    scale: f64,
    dropout: Option<Dropout>,
}

impl Op for DotProductAttention {
    fn name(&self) -> &'static str {
        "scaledDotProductAttention"
    }

    fn forward(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let q = inputs[0];
        let lead = q.ndim() - 2;
        let target = target(inputs);
        let shape = target.shape.clone();
        let places = Places::of(inputs);
        let out = dispatch_float!(q.dtype(), self.name(), T => {
            let mut out = Buffer::<T>::new(shape.iter().product())?;
            let mut log_sums = Buffer::<T>::new(places.starts[0].len() * shape[lead])?;
            let result = Output { data: &mut out, starts: &starts(&target), row_stride: target.strides[lead] };
            self.kernel::<T>(inputs, &places).forward(result, &mut log_sums);
            let length = log_sums.len();
            for input in inputs {
                context.save(input)?;
            }
            context.save(&Tensor::from_buffer(log_sums, &[length]))?;
            Tensor::from_buffer_strided(out, &shape, target.strides, q.dtype())
        });
        context.save_result(0, &out)?;
        Ok(vec![out])
    }

    #[cfg(feature = "gpu")]
    fn forward_gpu(&self, inputs: &[&Tensor], context: &mut Context) -> Result<Vec<Tensor>> {
        let (out, log_sums) = self.on_gpu(inputs).forward(target(inputs))?;
        for input in inputs {
            context.save(input)?;
        }
        context.save(&log_sums)?;
        context.save_result(0, &out)?;
        Ok(vec![out])
    }

    fn backward(&self, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let count = pass.saved.len() - 2;
        let inputs: Vec<&Tensor> = pass.saved[..count].iter().collect();
        let gradient = pass.grad();
        if autograd::is_enabled() || (count == 4 && pass.needs(3)) {
            return self.differentiable(&inputs, gradient, pass);
        }
        let (log_sums, result) = (&pass.saved[count], &pass.saved[count + 1]);
        #[cfg(feature = "gpu")]
        if !gradient.is_host() {
            let needs = [0, 1, 2].map(|i| pass.needs(i));
            let mut gradients = self.on_gpu(&inputs).backward(result, gradient, log_sums, needs)?.to_vec();
            gradients.resize(count, None);
            return Ok(gradients);
        }
        let places = Places::of(&inputs);
        dispatch_float!(gradient.dtype(), self.name(), T => {
            let targets = [0, 1, 2].map(|i| dense_like(inputs[i], Dims::from_slice(inputs[i].shape())));
            let at = [0, 1, 2].map(|i| starts(&targets[i]));
            let [mut dq, mut dk, mut dv] =
                [Buffer::<T>::new(inputs[0].numel())?, Buffer::new(inputs[1].numel())?, Buffer::new(inputs[2].numel())?];
            let (at_result, at_gradient) = (starts(result.layout()), starts(gradient.layout()));
            let stride = |i: usize| targets[i].strides[targets[i].ndim() - 2];
            self.kernel::<T>(&inputs, &places).backward(
                matrices(result, &at_result),
                matrices(gradient, &at_gradient),
                log_sums.slice::<T>(),
                [
                    Output { data: &mut dq, starts: &at[0], row_stride: stride(0) },
                    Output { data: &mut dk, starts: &at[1], row_stride: stride(1) },
                    Output { data: &mut dv, starts: &at[2], row_stride: stride(2) },
                ],
            );
            let made = [dq, dk, dv].into_iter().zip(targets);
            let mut gradients: Vec<Option<Tensor>> = made
                .map(|(buffer, target)| {
                    let Layout { shape, strides, .. } = target;
                    Some(Tensor::from_buffer_strided(buffer, &shape, strides, gradient.dtype()))
                })
                .collect();
            gradients.resize(count, None);
            Ok(gradients)
        })
    }

    /// Two products: scores of width E, and sums of values of width Ev.
    fn operations(&self, shapes: &[&[usize]]) -> u64 {
        let [q, k, v] = [shapes[0], shapes[1], shapes[2]];
        let keys = k[k.len() - 2];
        product_operations(&q[..q.len() - 1]) * (keys * (q[q.len() - 1] + v[v.len() - 1])) as u64
    }

    /// The scores again, and the gradients of the weights, of query, key and value: three products of width E, two of Ev.
    fn backward_operations(&self, shapes: &[&[usize]]) -> u64 {
        let [q, k, v] = [shapes[0], shapes[1], shapes[2]];
        let keys = k[k.len() - 2];
        product_operations(&q[..q.len() - 1]) * (keys * (3 * q[q.len() - 1] + 2 * v[v.len() - 1])) as u64
    }
}

impl DotProductAttention {
    #[cfg(feature = "gpu")]
    fn on_gpu<'a>(&self, inputs: &[&'a Tensor]) -> attention_gpu::Attention<'a> {
        attention_gpu::Attention {
            q: inputs[0],
            k: inputs[1],
            v: inputs[2],
            mask: mask_layout(inputs).map(|layout| (inputs[3], layout)),
            causal: self.causal,
            scale: self.scale,
            dropout: self.dropout,
        }
    }

    fn kernel<'a, T: Element>(&self, inputs: &[&'a Tensor], places: &'a Places) -> Attention<'a, T> {
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        let lead = q.ndim() - 2;
        let mask = places.mask.as_ref().map(|(layout, starts)| {
            let (row_stride, column_stride) = (layout.strides[lead], layout.strides[lead + 1]);
            match inputs[3].dtype() {
                DType::Bool | DType::U8 => {
                    Mask::Truth(Matrices { data: inputs[3].storage_slice::<u8>(), starts, row_stride, column_stride })
                }
                _ => Mask::Added(Matrices { data: inputs[3].storage_slice::<T>(), starts, row_stride, column_stride }),
            }
        });
        Attention {
            q: matrices(q, &places.starts[0]),
            k: matrices(k, &places.starts[1]),
            v: matrices(v, &places.starts[2]),
            mask,
            causal: self.causal,
            dropout: self.dropout,
            scale: self.scale,
            queries: q.shape()[lead],
            keys: k.shape()[lead],
            width: q.shape()[lead + 1],
            values: v.shape()[lead + 1],
        }
    }

    /// The gradients in operations, with the matrix of scores: for gradients of the mask and of gradients.
    fn differentiable(&self, inputs: &[&Tensor], gradient: &Tensor, pass: &Pass) -> Result<Vec<Option<Tensor>>> {
        let [q, k, v] = [inputs[0], inputs[1], inputs[2]];
        let mut scores = mul_scalar(&matmul(q, &transpose(k, -2, -1)?)?, self.scale)?;
        match inputs.get(3) {
            Some(mask) if mask.dtype().is_float() => scores = crate::ops::elementwise::add(&scores, mask)?,
            Some(mask) => {
                let hidden = compare(Comparison::Equal, mask, &Tensor::full(&[], 0.0, mask.dtype())?)?;
                scores = movement::masked_fill(&scores, &hidden, f64::NEG_INFINITY)?;
            }
            None => {}
        }
        let [rows, columns] = *scores.shape().last_chunk().expect("a matrix of scores");
        if self.causal {
            let later: Vec<u8> = (0..rows).flat_map(|i| (0..columns).map(move |j| (j > i) as u8)).collect();
            let later = to_device(&Tensor::from_slice(&later, &[rows, columns])?, &q.device()?)?;
            scores = movement::masked_fill(&scores, &later, f64::NEG_INFINITY)?;
        }
        // Queries that see nothing have no weights.
        let weights = if columns == 0 {
            scores
        } else {
            let top = amax(&scores.detach()?, Some(&[-1]), true)?;
            let blind = compare(Comparison::Equal, &top, &Tensor::full(&[], f64::NEG_INFINITY, q.dtype())?)?;
            movement::masked_fill(&softmax(&movement::masked_fill(&scores, &blind, 0.0)?, -1)?, &blind, 0.0)?
        };
        let mut upstream = matmul(gradient, &transpose(v, -2, -1)?)?;
        let mut used = weights.clone();
        if let Some(dropout) = self.dropout {
            let kept = dispatch_float!(q.dtype(), self.name(), T => {
                let mut kept = Buffer::<T>::new(weights.numel())?;
                kept.fill(<T as Float>::ONE);
                dropout.apply(0, &mut kept);
                to_device(&Tensor::from_buffer(kept, weights.shape()), &q.device()?)?
            });
            upstream = mul(&upstream, &kept)?;
            used = mul(&weights, &kept)?;
        }
        let average = sum(&mul(&upstream, &weights)?, Some(&[-1]), true)?;
        let slopes = mul(&weights, &sub(&upstream, &average)?)?;
        let scaled = mul_scalar(&slopes, self.scale)?;
        let mut gradients = vec![
            Some(matmul(&scaled, k)?),
            Some(matmul(&transpose(&scaled, -2, -1)?, q)?),
            Some(matmul(&transpose(&used, -2, -1)?, gradient)?),
        ];
        if let Some(mask) = inputs.get(3) {
            gradients.push(pass.needs(3).then(|| sum_to(&slopes, mask.shape())).transpose()?);
        }
        Ok(gradients)
    }
}

/// Shape and order in memory of the result: the query's order, so that heads which were cut out of one matrix are put back
/// without a copy.
fn target(inputs: &[&Tensor]) -> Layout {
    let (q, v) = (inputs[0], inputs[2]);
    let lead = q.ndim() - 2;
    let mut shape = Dims::from_slice(q.shape());
    shape[lead + 1] = v.shape()[lead + 1];
    dense_like(q, shape)
}

/// The layout of a mask as [.., queries, keys].
fn mask_layout(inputs: &[&Tensor]) -> Option<Layout> {
    let mask = inputs.get(3)?;
    let (q, k) = (inputs[0].shape(), inputs[1].shape());
    let mut scores = Dims::from_slice(q);
    scores[q.len() - 1] = k[k.len() - 2];
    Some(mask.layout().expand(&scores).expect("the mask was checked to broadcast"))
}

/// Where the matrices of query, key, value and mask begin in their storages.
struct Places {
    starts: [Vec<usize>; 3],
    mask: Option<(Layout, Vec<usize>)>,
}

impl Places {
    fn of(inputs: &[&Tensor]) -> Places {
        let mask = mask_layout(inputs).map(|layout| {
            let places = starts(&layout);
            (layout, places)
        });
        Places { starts: [0, 1, 2].map(|i| starts(inputs[i].layout())), mask }
    }
}

/// A dense layout in a tensor's order of memory, its rows contiguous: heads that were cut out of one matrix, and their
/// gradients, are put back without a copy.
fn dense_like(tensor: &Tensor, shape: Dims) -> Layout {
    let of = Layout { shape: shape.clone(), strides: Dims::from_slice(tensor.strides()), offset: 0 };
    let mut strides = of.dense_strides();
    if strides[shape.len() - 1] != 1 {
        strides = Tensor::strides_for(&shape, false);
    }
    Layout { shape, strides, offset: 0 }
}

/// Where each matrix of the last two dimensions begins.
fn starts(layout: &Layout) -> Vec<usize> {
    let lead = layout.ndim() - 2;
    let outer = Layout {
        shape: Dims::from_slice(&layout.shape[..lead]),
        strides: Dims::from_slice(&layout.strides[..lead]),
        offset: layout.offset,
    };
    let mut starts = Vec::with_capacity(outer.numel());
    each_index(&outer.shape, |index| {
        let place: usize = index.iter().zip(&outer.strides).map(|(i, stride)| i * stride).sum();
        starts.push(outer.offset + place);
    });
    starts
}

fn matrices<'a, T: Element>(tensor: &'a Tensor, starts: &'a [usize]) -> Matrices<'a, T> {
    let [row_stride, column_stride] = *tensor.strides().last_chunk().expect("two dimensions");
    Matrices { data: tensor.storage_slice::<T>(), starts, row_stride, column_stride }
}

#[cfg(feature = "node")]
mod node {
    use super::*;
    use crate::bail;
    use crate::node::generator::Generator;
    use napi::bindgen_prelude::{ClassInstance, Object};
    use napi_derive::napi;

    #[napi]
    impl Tensor {
        /// softmax(scale · this · keyᵀ + attnMask) · value, for this [..., L, E], key [..., S, E] and value [..., S, Ev].
        /// attnMask: bool (true where a query sees a key) or float (added to the scores), broadcast to [..., L, S];
        /// isCausal: query i sees keys 0 to i; scale: 1/√E by default; dropoutP: probability from 0 to below 1 that a weight
        /// becomes 0 (the others are divided by 1 − dropoutP), drawn from `generator`. A query that sees no key gets zeros.
        #[napi(js_name = "scaledDotProductAttention")]
        pub fn js_scaled_dot_product_attention(
            &self,
            key: &Tensor,
            value: &Tensor,
            #[napi(
                ts_arg_type = "{ attnMask?: Tensor | null, isCausal?: boolean, scale?: number | null, dropoutP?: number, generator?: Generator }"
            )]
            options: Option<Object>,
        ) -> Result<Tensor> {
            let Some(given) = options else {
                return scaled_dot_product_attention(self, key, value, AttentionOptions::default());
            };
            let read = crate::node::border;
            let mask: Option<Option<ClassInstance<Tensor>>> = given.get("attnMask").map_err(read)?;
            let causal: Option<Option<bool>> = given.get("isCausal").map_err(read)?;
            let scale: Option<Option<f64>> = given.get("scale").map_err(read)?;
            let p: Option<Option<f64>> = given.get("dropoutP").map_err(read)?;
            let p = p.flatten().unwrap_or(0.0);
            ensure!(
                (0.0..=1.0).contains(&p),
                Argument,
                "scaledDotProductAttention: dropoutP is {p}; it is from 0 to 1"
            );
            let mut options = AttentionOptions {
                mask: mask.as_ref().and_then(|mask| mask.as_deref()),
                causal: causal.flatten().unwrap_or(false),
                scale: scale.flatten(),
                dropout: None,
            };
            if p == 0.0 {
                return scaled_dot_product_attention(self, key, value, options);
            }
            let generator: Option<Option<ClassInstance<Generator>>> = given.get("generator").map_err(read)?;
            let Some(generator) = generator.flatten() else {
                bail!(Argument, "scaledDotProductAttention: dropoutP is {p}, but there is no generator to draw from");
            };
            generator.with(|philox| {
                let (seed, stream, position) = philox.state();
                options.dropout = Some(Dropout { p, seed, stream, position });
                let out = scaled_dot_product_attention(self, key, value, options)?;
                let queries: usize = out.shape()[..out.ndim() - 1].iter().product();
                let weights = queries * key.shape()[key.ndim() - 2];
                philox.set_position(position.wrapping_add(weights as u64));
                Ok(out)
            })
        }
    }
}

#[cfg(test)]
pub fn cases() -> Vec<crate::ops::suite::Case> {
    use crate::ops::suite::*;
    /// Plain loops; `sees` says which keys count, `extra` what is added to a score.
    fn reference(
        a: &[Array],
        scale: f64,
        sees: impl Fn(&[usize]) -> bool,
        extra: impl Fn(&[usize]) -> f64,
    ) -> Vec<f64> {
        let (n, lead) = (a[0].shape.len(), &a[0].shape[..a[0].shape.len() - 2]);
        let [queries, width, keys, values] =
            [a[0].shape[n - 2], a[0].shape[n - 1], a[1].shape[n - 2], a[2].shape[n - 1]];
        let mut out = Vec::new();
        each_index(&[lead, &[queries]].concat(), |index| {
            let (lead, i) = (&index[..n - 2], index[n - 2]);
            let at = |k: usize, row: usize, column: usize| a[k].at(&[lead, &[row, column]].concat());
            let scores: Vec<f64> = (0..keys)
                .map(|j| {
                    let place = [lead, &[i, j]].concat();
                    let product: f64 = (0..width).map(|e| at(0, i, e) * at(1, j, e)).sum();
                    if sees(&place) { (product * scale + extra(&place)).exp() } else { 0.0 }
                })
                .collect();
            let total: f64 = scores.iter().sum();
            for e in 0..values {
                let sum: f64 = (0..keys).map(|j| scores[j] * at(2, j, e)).sum();
                out.push(if total == 0.0 { 0.0 } else { sum / total });
            }
        });
        out
    }
    fn plain<'a>() -> AttentionOptions<'a> {
        AttentionOptions { scale: Some(0.7), ..AttentionOptions::default() }
    }
    let op = "scaledDotProductAttention";
    let three = |l: usize, s: usize| vec![normal(&[2, 3, l, 4]), normal(&[2, 3, s, 4]), normal(&[2, 3, s, 6])];
    let with = |mut inputs: Vec<Input>, mask: Input| {
        inputs.push(mask);
        inputs
    };
    let masked = |t: &[Tensor]| {
        scaled_dot_product_attention(&t[0], &t[1], &t[2], AttentionOptions { mask: Some(&t[3]), ..plain() })
    };
    let last_two = |index: &[usize]| (index[index.len() - 2], index[index.len() - 1]);
    vec![
        case(op, "", three(5, 7), |t| scaled_dot_product_attention(&t[0], &t[1], &t[2], plain()))
            .equals(|a| reference(a, 0.7, |_| true, |_| 0.0)),
        case(op, "own scale", [normal(&[5, 4]), normal(&[7, 4]), normal(&[7, 3])], |t| {
            scaled_dot_product_attention(&t[0], &t[1], &t[2], AttentionOptions::default())
        }),
        case(op, "causal", three(5, 7), |t| {
            scaled_dot_product_attention(&t[0], &t[1], &t[2], AttentionOptions { causal: true, ..plain() })
        })
        .equals(move |a| reference(a, 0.7, |i| last_two(i).1 <= last_two(i).0, |_| 0.0))
        .drops_nan(),
        case(op, "with a mask", with(three(5, 7), mask(&[2, 1, 5, 7])), masked)
            .equals(|a| reference(a, 0.7, |i| a[3].at(i) != 0.0, |_| 0.0))
            .drops_nan(),
        case(op, "with scores added", with(three(5, 7), normal(&[5, 7])), masked)
            .equals(|a| reference(a, 0.7, |_| true, |i| a[3].at(i))),
        case(op, "with constant scores added", with(three(5, 7), normal(&[2, 1, 1, 7]).constant()), masked)
            .equals(|a| reference(a, 0.7, |_| true, |i| a[3].at(i))),
        case(op, "one head for all", [normal(&[2, 3, 5, 4]), normal(&[7, 4]), normal(&[3, 7, 6])], |t| {
            scaled_dot_product_attention(&t[0], &t[1], &t[2], plain())
        }),
        case(op, "several blocks", [normal(&[66, 2]), normal(&[515, 2]), normal(&[515, 3])], |t| {
            scaled_dot_product_attention(&t[0], &t[1], &t[2], plain())
        })
        // Finite differences of so many elements take minutes; below, both ways back are compared.
        .without_gradient()
        .equals(|a| reference(a, 0.7, |_| true, |_| 0.0)),
        case(op, "with dropout", [normal(&[2, 5, 4]), normal(&[2, 7, 4]), normal(&[2, 7, 3])], |t| {
            let dropout = Some(Dropout { p: 0.4, seed: 7, stream: 1, position: 3 });
            scaled_dot_product_attention(&t[0], &t[1], &t[2], AttentionOptions { dropout, ..plain() })
        })
        .drops_nan(),
        case(op, "heads cut out of one matrix", [normal(&[2, 5, 36])], |t| {
            let parts = movement::permute(&movement::reshape(&t[0], &[2, 5, 3, 3, 4])?, &[2, 0, 3, 1, 4])?;
            let [q, k, v] = [0, 1, 2].map(|i| movement::select(&parts, 0, i));
            let out = scaled_dot_product_attention(&q?, &k?, &v?, plain())?;
            assert!(transpose(&out, 1, 2)?.is_contiguous() || !t[0].is_contiguous());
            Ok(out)
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_without_keys_get_zeros_and_no_gradient() {
        let q = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
        q.set_requires_grad(true).unwrap();
        let mask = movement::to_dtype(&Tensor::from_slice(&[1u8, 0, 0, 0], &[2, 2]).unwrap(), DType::Bool).unwrap();
        let options = AttentionOptions { mask: Some(&mask), ..AttentionOptions::default() };
        let out = scaled_dot_product_attention(&q, &q, &q, options).unwrap();
        assert_eq!(out.to_vec::<f32>().unwrap(), [1.0, 2.0, 0.0, 0.0]);
        autograd::backward(&out, Some(&Tensor::full(&[2, 2], 1.0, DType::F32).unwrap()), Default::default()).unwrap();
        assert!(q.grad().unwrap().to_vec::<f32>().unwrap().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn dropped_weights_are_zero_the_others_larger_and_the_same_whatever_the_blocks() {
        let (queries, keys) = (70, 1030);
        let zeros = |rows: usize| Tensor::zeros(&[rows, 2], DType::F64).unwrap();
        let identity: Vec<f64> = (0..keys * keys).map(|i| f64::from(i % (keys + 1) == 0)).collect();
        let identity = Tensor::from_slice(&identity, &[keys, keys]).unwrap();
        let dropout = Dropout { p: 0.25, seed: 11, stream: 2, position: 5 };
        let options = AttentionOptions { dropout: Some(dropout), ..AttentionOptions::default() };
        let weights = scaled_dot_product_attention(&zeros(queries), &zeros(keys), &identity, options).unwrap();
        let mut expected = vec![1.0 / keys as f64; queries * keys];
        dropout.apply(0, &mut expected);
        let weights = weights.to_vec::<f64>().unwrap();
        assert!(weights.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-15));
        let kept = weights.iter().filter(|&&w| w > 0.0).count() as f64 / weights.len() as f64;
        assert!((kept - 0.75).abs() < 0.01, "{kept}");
        let none = AttentionOptions { dropout: Some(Dropout { p: 1.0, ..dropout }), ..AttentionOptions::default() };
        let nothing = scaled_dot_product_attention(&zeros(3), &zeros(keys), &identity, none).unwrap();
        assert!(nothing.to_vec::<f64>().unwrap().iter().all(|&w| w == 0.0));
    }

    /// With `create_graph` the way back is made of operations and holds all scores; without, of blocks.
    #[test]
    fn both_ways_back_agree_over_several_blocks() {
        let (queries, keys) = (130, 1100);
        let mut random = crate::random::Philox::new(3, 0);
        let mut made = |shape: &[usize]| crate::ops::random::randn(shape, DType::F64, &mut random).unwrap();
        let [q, k, v] = [made(&[2, queries, 3]), made(&[2, keys, 3]), made(&[2, keys, 5])];
        let upstream = made(&[2, queries, 5]);
        let (added, chance) = (made(&[2, 1, keys]), made(&[queries, keys]));
        let seen = compare(Comparison::Less, &chance, &Tensor::full(&[], -1.0, DType::F64).unwrap()).unwrap();
        let dropout = Some(Dropout { p: 0.3, seed: 5, stream: 0, position: 9 });
        let plain = AttentionOptions::default();
        for options in [
            plain,
            AttentionOptions { causal: true, ..plain },
            AttentionOptions { mask: Some(&added), dropout, ..plain },
            AttentionOptions { mask: Some(&seen), scale: Some(-0.4), ..plain },
            AttentionOptions { mask: Some(&seen), causal: true, dropout, ..plain },
        ] {
            let gradients = |create_graph: bool| {
                let leaves = [&q, &k, &v].map(|t| t.detach().unwrap());
                leaves.iter().for_each(|t| t.set_requires_grad(true).unwrap());
                let out = scaled_dot_product_attention(&leaves[0], &leaves[1], &leaves[2], options).unwrap();
                let walk = autograd::Options { create_graph, ..Default::default() };
                autograd::backward(&out, Some(&upstream), walk).unwrap();
                leaves.map(|t| t.grad().unwrap().detach().unwrap().to_vec::<f64>().unwrap()).concat()
            };
            let (blocks, whole) = (gradients(false), gradients(true));
            let worst = blocks.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-12 && whole.iter().any(|g| g.abs() > 1e-3), "{worst}");
        }
    }

    #[test]
    fn empty_axes_give_what_the_formula_gives() {
        let run = |q: &[usize], k: &[usize], v: &[usize]| {
            let make = |shape: &[usize]| {
                let tensor = Tensor::full(shape, 2.0, DType::F32).unwrap();
                tensor.set_requires_grad(true).unwrap();
                tensor
            };
            let [q, k, v] = [make(q), make(k), make(v)];
            let out = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default()).unwrap();
            let ones = Tensor::full(out.shape(), 1.0, DType::F32).unwrap();
            autograd::backward(&out, Some(&ones), Default::default()).unwrap();
            let gradient = v.grad().map(|g| g.to_vec::<f32>().unwrap());
            (out.shape().to_vec(), out.to_vec::<f32>().unwrap(), gradient.unwrap_or_default())
        };
        // Without width all scores are 0: the mean of the values.
        assert_eq!(run(&[2, 0], &[4, 0], &[4, 1]), (vec![2, 1], vec![2.0, 2.0], vec![0.5; 4]));
        // Without keys nothing is seen.
        assert_eq!(run(&[2, 3], &[0, 3], &[0, 1]), (vec![2, 1], vec![0.0, 0.0], vec![]));
        assert_eq!(run(&[0, 3], &[4, 3], &[4, 1]), (vec![0, 1], vec![], vec![0.0; 4]));
        assert_eq!(run(&[2, 3], &[4, 3], &[4, 0]), (vec![2, 0], vec![], vec![]));
        assert_eq!(run(&[1, 1], &[1, 1], &[1, 1]), (vec![1, 1], vec![2.0], vec![1.0]));
    }

    #[test]
    fn long_sequences_need_little_memory() {
        let n = 3000;
        let make = |k: usize| {
            let values: Vec<f32> = (0..n * 8).map(|i| ((i + k) as f32 * 0.37).sin()).collect();
            let tensor = Tensor::from_slice(&values, &[n, 8]).unwrap();
            tensor.set_requires_grad(true).unwrap();
            tensor
        };
        let [q, k, v] = [make(0), make(1), make(2)];
        let before = crate::storage::memory_statistics().peak_bytes;
        let out = scaled_dot_product_attention(&q, &k, &v, AttentionOptions::default()).unwrap();
        let gradient = Tensor::full(&[n, 8], 1.0, DType::F32).unwrap();
        autograd::backward(&out, Some(&gradient), Default::default()).unwrap();
        // Other tests run meanwhile; the matrix of scores alone would be 36 MB.
        let grown = crate::storage::memory_statistics().peak_bytes.saturating_sub(before);
        assert!(grown < 4 * n * n, "{grown} bytes");
    }

    #[test]
    fn shapes_that_do_not_fit_are_named() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32).unwrap();
        let run = |q: &[usize], k: &[usize], v: &[usize], mask: Option<&Tensor>| {
            let options = AttentionOptions { mask, ..AttentionOptions::default() };
            scaled_dot_product_attention(&zeros(q), &zeros(k), &zeros(v), options).unwrap_err()
        };
        let error = run(&[2, 5, 4], &[2, 7, 3], &[2, 7, 4], None);
        assert!(error.code() == "ERR_SHAPE" && error.message().contains("[2, 5, 4]"), "{error}");
        assert_eq!(run(&[2, 5, 4], &[2, 7, 4], &[2, 6, 4], None).code(), "ERR_SHAPE");
        assert_eq!(run(&[2, 5, 4], &[3, 7, 4], &[2, 7, 4], None).code(), "ERR_SHAPE");
        assert_eq!(run(&[5, 4], &[7, 4], &[7, 4], Some(&zeros(&[7, 5]))).code(), "ERR_SHAPE");
        let integers = Tensor::zeros(&[5, 7], DType::I64).unwrap();
        assert_eq!(run(&[5, 4], &[7, 4], &[7, 4], Some(&integers)).code(), "ERR_DTYPE");
    }
}
