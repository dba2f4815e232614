//! What the suite checks on a GPU: values, gradients, strides, NaN and empty axes against the CPU, in float32.
//! Operations without a kernel must refuse with ERR_UNSUPPORTED, and the table in `ops::table` must say so.

use super::check::{Outcome, compare};
use super::input::{Array, Stride, numbers, random_array, strided, tensors};
use super::{Case, Cell, Coverage, case};
use crate::device::Device;
use crate::dtype::DType;
use crate::ops::product_gpu::tests::{CHOICES, FORM};
use crate::ops::transfer::to_device;
use crate::tensor::Tensor;
use std::sync::OnceLock;

/// The first adapter; none is said once, loudly.
pub(super) fn device() -> Option<&'static Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    let open = || match Device::parse("gpu") {
        Ok(device) => Some(device),
        Err(error) => {
            eprintln!("SKIPPED the suite on a GPU: {error}");
            None
        }
    };
    DEVICE.get_or_init(open).as_ref()
}

impl Case {
    /// `thorough`: every order in memory, NaN and infinity too.
    pub(super) fn check_gpu(&self, device: &Device, arrays: &[Array], thorough: bool, row: &mut Coverage) -> Outcome {
        let there = |tensors: Vec<Tensor>| -> std::result::Result<Vec<Tensor>, String> {
            tensors.iter().map(|t| to_device(t, device).map_err(|e| e.to_string())).collect()
        };
        let context = |what: &str, e: String| format!("on {device:?}, {what}: {e}");
        let found = match (self.run)(&there(tensors(arrays, DType::F32))?) {
            Ok(found) => found,
            Err(error) if error.code() == "ERR_UNSUPPORTED" => {
                row.gpu.raise(Cell::Refused);
                return Ok(());
            }
            Err(error) => return Err(context("value", error.to_string())),
        };
        let expected = (self.run)(&tensors(arrays, DType::F32)).map_err(|e| e.to_string())?;
        if (found.shape(), found.dtype()) != (expected.shape(), expected.dtype()) {
            return Err(format!("on {device:?}: {found:?} instead of {expected:?}"));
        }
        let values = numbers(&expected);
        let tolerance = self.tolerance * 2.0;
        compare("value", &numbers(&found), &values, tolerance).map_err(|e| context("value", e))?;
        let differentiable = expected.dtype().is_float() && self.gradient;
        let cotangent = random_array(expected.shape(), 77);
        let gradients = if differentiable {
            let expected = self.gradients(&tensors(arrays, DType::F32), &cotangent, DType::F32)?;
            match self.gradients(&there(tensors(arrays, DType::F32))?, &cotangent, DType::F32) {
                Ok(found) => {
                    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let what = format!("gradient of input {i}");
                        compare(&what, found, expected, tolerance * 10.0).map_err(|e| context(&what, e))?;
                    }
                }
                Err(error) if error.contains("ERR_UNSUPPORTED") => {
                    row.gpu.raise(Cell::Refused);
                    return Ok(());
                }
                Err(error) => return Err(context("gradient", error)),
            }
            Some(expected)
        } else {
            None
        };
        row.gpu.raise(Cell::Checked);
        if !thorough {
            return Ok(());
        }
        for stride in [Stride::Transposed, Stride::Sliced, Stride::ChannelsLast, Stride::Offset] {
            let views = || -> std::result::Result<Vec<Tensor>, String> {
                let there = there(tensors(arrays, DType::F32))?;
                Ok(there.iter().map(|t| strided(t, stride).unwrap_or_else(|| t.clone())).collect())
            };
            let what = format!("inputs {} in memory", stride.name());
            let found = (self.run)(&views()?).map_err(|e| context(&what, e.to_string()))?;
            compare("value", &numbers(&found), &values, tolerance).map_err(|e| context(&what, e))?;
            if let Some(expected) = &gradients {
                let found = self.gradients(&views()?, &cotangent, DType::F32).map_err(|e| context(&what, e))?;
                for (found, expected) in found.iter().zip(expected) {
                    compare("gradient", found, expected, tolerance * 10.0).map_err(|e| context(&what, e))?;
                }
            }
        }
        for i in (0..arrays.len()).filter(|&i| arrays[i].dtype.is_float() && !arrays[i].values.is_empty()) {
            for special in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut arrays = arrays.to_vec();
                let middle = arrays[i].values.len() / 2;
                arrays[i].values[middle] = special;
                let what = format!("{special} in input {i}");
                let here = (self.run)(&tensors(&arrays, DType::F32));
                let found = (self.run)(&there(tensors(&arrays, DType::F32))?);
                match (here, found) {
                    (Ok(expected), Ok(found)) => {
                        let (mut found, expected) = (numbers(&found), numbers(&expected));
                        // A convolution multiplies the zeros of the padding too, where the CPU may leave them out.
                        for (f, e) in found.iter_mut().zip(&expected) {
                            *f = if self.op.starts_with("conv") && f.is_nan() { *e } else { *f };
                        }
                        compare("value", &found, &expected, tolerance * 10.0).map_err(|e| context(&what, e))?
                    }
                    (Err(_), Err(error)) if error.code() != "ERR_INTERNAL" => {}
                    (here, found) => return Err(context(&what, format!("{found:?}, on the CPU {here:?}"))),
                }
            }
        }
        Ok(())
    }
}

#[cfg(feature = "noop")]
impl Case {
    /// Records the kernels of the case and of its gradients, for inputs in every order of memory. Nothing is compared.
    fn record(&self, device: &Device) -> Outcome {
        let mut random = crate::random::Philox::new(1234, 0);
        let arrays: Vec<Array> = self.inputs.iter().map(|input| input.make(&|label| label, &mut random)).collect();
        let there = || -> crate::error::Result<Vec<Tensor>> {
            tensors(&arrays, DType::F32).iter().map(|t| to_device(t, device)).collect()
        };
        let orders = [Stride::Transposed, Stride::Sliced, Stride::ChannelsLast, Stride::Offset];
        for order in [None].into_iter().chain(orders.map(Some)) {
            let inputs = there().map_err(|e| e.to_string())?;
            let view = |t: &Tensor| order.and_then(|order| strided(t, order)).unwrap_or_else(|| t.clone());
            let views: Vec<Tensor> = inputs.iter().map(view).collect();
            let result = (self.run)(&views).map_err(|e| e.to_string())?;
            if result.dtype().is_float() && self.gradient {
                self.gradients(&views, &random_array(result.shape(), 77), DType::F32)?;
            }
        }
        Ok(())
    }
}

/// naga sees each kernel as it is recorded (`kernel::validation`); on a device that runs nothing that needs no driver.
#[cfg(feature = "noop")]
#[test]
fn every_kernel_is_valid_without_a_driver() {
    let mut invalid = Vec::new();
    for least in [false, true] {
        let device = Device::Gpu(crate::gpu::open_noop(least).expect("wgpu has such a device"));
        let families = super::FAMILIES.iter().map(|&(family, cases)| (family, cases()));
        for (family, cases) in families.chain([("large", large()), ("products", products())]) {
            for case in cases {
                // What is refused, or looks at values that nobody computed, launches nothing more.
                if let Err(error) = case.record(&device)
                    && (error.contains("kernel ") || error.contains("ERR_INTERNAL") || error.contains("panicked"))
                {
                    invalid.push(format!("{family}, {} ({}): {error}", case.op, case.variant));
                }
            }
        }
    }
    assert!(invalid.is_empty(), "{}", invalid.join("\n"));
    assert!(crate::ops::kernel::validation::count() > 100, "the cases launch hundreds of kernels");
}

/// Sizes beyond one workgroup's block, chunk, piece or run, which the cases of the operations are too small for.
fn large() -> Vec<Case> {
    use super::input::{between, distinct, index, mask, nonzero, normal};
    use crate::cpu::attention::Dropout;
    use crate::ops::attention::{AttentionOptions, scaled_dot_product_attention};
    use crate::ops::batch_norm::{BatchNormOptions, batch_norm, batch_norm_relu};
    use crate::ops::{distance, index as indexing, norm, scan, scatter, sort};
    let attention = |t: &[Tensor], causal: bool, dropout: bool| {
        let dropout = dropout.then_some(Dropout { p: 0.3, seed: 7 << 40, stream: 1 << 33, position: (1 << 34) - 100 });
        let options = AttentionOptions { mask: t.get(3), causal, dropout, scale: None };
        scaled_dot_product_attention(&t[0], &t[1], &t[2], options)
    };
    let heads = || vec![normal(&[2, 3, 70, 40]), normal(&[2, 3, 45, 40]), normal(&[2, 3, 45, 40])];
    let masked = || heads().into_iter().chain([mask(&[2, 1, 70, 45])]).collect::<Vec<_>>();
    let channels = || vec![normal(&[3, 4, 70, 70]), normal(&[4]), normal(&[4]), normal(&[3, 4, 70, 70])];
    fn own(t: &[Tensor]) -> BatchNormOptions<'_> {
        let [weight, bias] = [t.get(1), t.get(2)];
        BatchNormOptions { running: None, weight, bias, training: true, momentum: 0.1, epsilon: 1e-5 }
    }
    let op = "scaledDotProductAttention";
    vec![
        case(op, "blocks", heads(), move |t| attention(t, false, false)),
        case(op, "mask and dropout", masked(), move |t| attention(t, false, true)),
        case(op, "causal", [normal(&[70, 20]), normal(&[70, 20]), normal(&[70, 150])], move |t| {
            attention(t, true, false)
        }),
        case("argsort", "merges", [distinct(&[3, 5000])], |t| Ok(sort::sort(&t[0], 1, false)?.0)),
        case("argsort", "ties", [index(50, &[1500, 2])], |t| sort::argsort(&t[0], 0, true)),
        case("topk", "long runs", [distinct(&[2, 5000])], |t| Ok(sort::topk(&t[0], 1100, 1, true)?.0)),
        case("topk", "short runs", [index(9, &[2, 5000])], |t| Ok(sort::topk(&t[0], 5, 1, false)?.1)),
        case("index_add", "sorted", [normal(&[40, 6]), index(40, &[100]), normal(&[100, 6])], |t| {
            indexing::index_add(&t[0], 0, &t[1], &t[2])
        }),
        case("scatter_add", "sorted", [normal(&[4, 50]), index(50, &[3, 70]), normal(&[4, 70])], |t| {
            scatter::scatter_add(&t[0], 1, &t[1], &t[2])
        }),
        case("scatter", "sorted", [normal(&[50, 4]), index(50, &[70, 4]), normal(&[70, 4])], |t| {
            scatter::scatter(&t[0], 0, &t[1], &t[2])
        }),
        case("cumsum", "pieces", [normal(&[2, 20_000])], |t| scan::cumsum(&t[0], 1)).tolerance(1e-4),
        case("cumsum", "integers in pieces", [index(99, &[9001, 2])], |t| scan::cumsum(&t[0], 0)),
        case("cumsum", "a line an invocation", [normal(&[300, 40])], |t| scan::cumsum(&t[0], 0)),
        case("cumprod", "blocks", [between(0.95, 1.05, &[3, 300])], |t| scan::cumprod(&t[0], 1)),
        case("prod", "blocks", [nonzero(&[2, 30])], |t| scan::prod(&t[0], Some(1), false)),
        case("layerNorm", "many rows", [normal(&[70, 300]), normal(&[300]), normal(&[300])], |t| {
            norm::layer_norm(&t[0], &[300], t.get(1), t.get(2), 1e-5)
        }),
        case("batchNorm", "pieces", channels(), |t| batch_norm(&t[0], own(t))),
        case("batchNormRelu", "pieces", channels(), |t| batch_norm_relu(&t[0], t.get(3), own(t))),
        case("batchNormRelu", "pieces side by side", channels(), |t| {
            let last = |t: &Tensor| crate::ops::movement::channels_last(t);
            batch_norm_relu(&last(&t[0])?, Some(&last(&t[3])?), own(t))
        }),
        case("batchNorm", "pieces of rows", [normal(&[5000, 70]), normal(&[70])], |t| {
            batch_norm(&t[0], BatchNormOptions { bias: None, ..own(t) })
        }),
        case("cdist", "tiles", [normal(&[2, 40, 33]), normal(&[35, 33])], |t| distance::cdist(&t[0], &t[1], 2.0)),
    ]
}

/// Products, with sizes that leave a rest in every direction and such as are read four by four.
fn products() -> Vec<Case> {
    use super::input::normal;
    use crate::ops::conv::{ConvOptions, Padding, conv2d};
    use crate::ops::matmul::{linear, matmul};
    let base = ConvOptions::default();
    let padded = ConvOptions { padding: Padding::Both([1, 1]), ..base };
    let product = |variant, a: &[usize], b: &[usize]| {
        case("matmul", variant, [normal(a), normal(b)], |t| matmul(&t[0], &t[1])).tolerance(1e-4)
    };
    let transposed = |variant, a: &[usize], b: &[usize]| {
        let last = |t: &Tensor| t.transpose(-1, -2);
        case("matmul", variant, [normal(a), normal(b)], move |t| matmul(&last(&t[0])?, &last(&t[1])?)).tolerance(1e-4)
    };
    let filter = |variant, image: &[usize], filter: &[usize], options: ConvOptions| {
        let inputs = [normal(image), normal(filter), normal(&filter[..1])];
        case("conv2d", variant, inputs, move |t| conv2d(&t[0], &t[1], Some(&t[2]), options)).tolerance(1e-4)
    };
    vec![
        product("tiles", &[100, 40], &[40, 136]),
        product("rests", &[71, 33], &[33, 101]),
        product("long", &[20, 1100], &[1100, 12]),
        product("batches", &[3, 36, 20], &[3, 20, 44]),
        product("one row", &[1, 64], &[64, 130]),
        transposed("transposed tiles", &[40, 100], &[136, 40]),
        transposed("transposed rests", &[33, 71], &[101, 33]),
        case("linear", "tiles", [normal(&[70, 48]), normal(&[36, 48]), normal(&[36])], |t| {
            linear(&t[0], &t[1], t.get(2))
        })
        .tolerance(1e-4),
        filter("tiles", &[2, 8, 9, 10], &[36, 8, 3, 3], padded),
        filter("tiles with stride", &[2, 8, 9, 10], &[36, 8, 3, 3], ConvOptions { stride: [2, 2], ..padded }),
        filter("tiles in groups", &[2, 16, 7, 7], &[24, 8, 3, 3], ConvOptions { groups: 2, ..padded }),
        filter("three channels", &[2, 3, 12, 12], &[40, 3, 5, 5], ConvOptions { stride: [2, 2], ..padded }),
        filter("odd channels", &[1, 6, 12, 12], &[10, 6, 1, 1], base),
        filter("winograd", &[2, 32, 18, 19], &[36, 32, 3, 3], padded),
        filter("winograd without padding", &[3, 36, 14, 18], &[32, 36, 3, 3], base),
        filter(
            "winograd far",
            &[2, 32, 15, 17],
            &[36, 32, 3, 3],
            ConvOptions { padding: Padding::Both([0, 2]), ..base },
        ),
        filter("dilated tiles", &[1, 4, 12, 12], &[8, 4, 3, 3], ConvOptions { dilation: [2, 3], ..padded }),
    ]
}

/// What failed of these cases on a device.
fn failures(device: &Device, cases: Vec<Case>, thorough: bool) -> Vec<String> {
    let mut failures = Vec::new();
    for case in cases {
        let mut random = crate::random::Philox::new(4321, 0);
        let arrays: Vec<Array> = case.inputs.iter().map(|input| input.make(&|size| size, &mut random)).collect();
        let mut row = Coverage::default();
        match case.check_gpu(device, &arrays, thorough, &mut row) {
            Ok(()) if row.gpu == Cell::Checked => {}
            Ok(()) => failures.push(format!("{} ({}) did not run", case.op, case.variant)),
            Err(error) => failures.push(format!("{} ({}): {}", case.op, case.variant, &error[..error.len().min(400)])),
        }
    }
    failures
}

#[test]
fn more_than_one_block() {
    let Some(device) = device() else { return };
    let found = [failures(device, large(), false), failures(device, products(), true)].concat();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Drivers on the CPU have kernels of their own (`Gpu::lanes`): those for hardware must be as right.
#[test]
fn forms_for_hardware() {
    if device().is_none() {
        return;
    }
    let hardware = crate::gpu::open_as(|adapter| adapter.software = false);
    let device = Device::Gpu(hardware.expect("the first adapter, once more"));
    let own = || super::FAMILIES.iter().filter(|(family, _)| ["matmul", "conv"].contains(family));
    for form in std::iter::once(None).chain((0..CHOICES).map(Some)) {
        FORM.set(form);
        let cases = own().flat_map(|(_, cases)| cases()).chain(products()).collect();
        // Strides and NaN take the same ways in every form.
        let found = failures(&device, cases, form.is_none());
        assert!(found.is_empty(), "{form:?} {}", found.join("\n"));
    }
}

/// A GPU may run whatever form it finds fastest because the sums are the same to the last bit; what it found it keeps.
#[test]
fn a_choice_of_form_changes_no_bit_and_is_made_once() {
    if device().is_none() {
        return;
    }
    let open = || crate::gpu::open_as(|adapter| adapter.software = false).expect("the first adapter, once more");
    let product = |gpu: &std::sync::Arc<crate::gpu::Gpu>| {
        let mut random = crate::random::Philox::new(5, 0);
        let arrays = [super::input::normal(&[600, 410]), super::input::normal(&[410, 600])]
            .map(|input| input.make(&|n| n, &mut random));
        let device = Device::Gpu(gpu.clone());
        let factors = tensors(&arrays, DType::F32).iter().map(|t| to_device(t, &device).unwrap()).collect::<Vec<_>>();
        let before = gpu.statistics().dispatches;
        let out = crate::ops::matmul::matmul(&factors[0], &factors[1]).unwrap();
        let dispatches = gpu.statistics().dispatches - before;
        (to_device(&out, &Device::Cpu).unwrap().storage_slice::<f32>().to_vec(), dispatches)
    };
    let folder = std::env::temp_dir().join(format!("spt-tuning-{}", std::process::id()));
    crate::gpu::set_cache_folder(Some(folder.clone()));
    let [first, second] = [open(), open()];
    let (chosen, tried) = product(&first);
    assert!(tried > 2 * CHOICES as u64, "{tried} dispatches");
    assert_eq!(product(&first), (chosen.clone(), 1));
    // One that was opened later knows it from the file, one that was opened before does not.
    assert_eq!(product(&open()), (chosen.clone(), 1));
    assert!(product(&second).1 > 2);
    crate::gpu::set_cache_folder(None);
    std::fs::remove_dir_all(&folder).unwrap();
    for form in 0..CHOICES {
        FORM.set(Some(form));
        assert_eq!(product(&first).0, chosen, "form {form}");
    }
}

/// Tensors larger than a binding: an adapter that binds 2 KiB at most copies, computes and normalises in windows.
#[test]
fn windows() {
    use crate::ops::batch_norm::{BatchNormOptions, batch_norm_relu};
    use crate::ops::{elementwise, movement};
    if device().is_none() {
        return;
    }
    let small = crate::gpu::open_as(|adapter| adapter.limits.binding = 2048);
    let device = Device::Gpu(small.expect("the first adapter, once more"));
    use super::input::{index, normal};
    let cases = vec![
        case("copy", "transposed", [normal(&[30, 40])], |t| movement::contiguous(&t[0].transpose(0, 1)?)),
        case("copy", "three dimensions", [normal(&[9, 20, 14])], |t| {
            movement::contiguous(&movement::permute(&t[0], &[2, 0, 1])?)
        }),
        case("copy", "channels last", [normal(&[5, 8, 7, 6])], |t| movement::channels_last(&t[0])),
        case("copy", "int64", [index(50, &[30, 20])], |t| movement::contiguous(&t[0].transpose(0, 1)?)),
        case("less", "broadcast", [normal(&[40, 32]), normal(&[32])], |t| {
            elementwise::compare(elementwise::Comparison::Less, &t[0], &t[1])
        }),
        case("mul_scalar", "windows", [normal(&[40, 30])], |t| elementwise::mul_scalar(&t[0], 0.5)),
        case("batchNormRelu", "windows", [normal(&[6, 4, 5, 9]), normal(&[4]), normal(&[4])], |t| {
            let [weight, bias] = [t.get(1), t.get(2)];
            let options =
                BatchNormOptions { running: None, weight, bias, training: true, momentum: 0.1, epsilon: 1e-5 };
            batch_norm_relu(&t[0], None, options)
        }),
    ];
    let found = failures(&device, cases, false);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// An adapter that binds so little that Winograd's way takes the images one by one.
#[test]
fn winograd_in_parts() {
    if device().is_none() {
        return;
    }
    let small = crate::gpu::open_as(|adapter| adapter.limits.binding = 200 << 10);
    let device = Device::Gpu(small.expect("the first adapter, once more"));
    let cases = products().into_iter().filter(|case| case.variant.starts_with("winograd")).collect();
    let found = failures(&device, cases, false);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// float16 is stored as the CPU rounds it, and multiplied, normalised and moved in float32 from there.
#[test]
fn float16() {
    let Some(device) = device() else { return };
    let hardware = crate::gpu::open_as(|adapter| adapter.software = false);
    for device in [device, &Device::Gpu(hardware.expect("the first adapter, once more"))] {
        check_float16(device);
    }
}

fn check_float16(device: &Device) {
    use crate::ops::batch_norm::{BatchNormOptions, batch_norm_relu};
    use crate::ops::movement::to_dtype;
    // Every float16, what lies between two of them and exactly in the middle, and what is too large.
    let halves = (0..=u16::MAX).map(|bits| crate::half::F16(bits).to_f32()).filter(|x| x.is_finite());
    let values: Vec<f32> = halves.flat_map(|x| [x, x * 1.0003, x * (1.0 + 1.0 / 2048.0), x * 2.1]).collect();
    let array = Tensor::from_slice(&values, &[values.len()]).unwrap();
    let here = to_dtype(&array, DType::F16).unwrap();
    let found = to_dtype(&to_device(&array, device).unwrap(), DType::F16).unwrap();
    let back = to_device(&found, &Device::Cpu).unwrap();
    let bits = |t: &Tensor| -> Vec<u16> {
        t.storage_slice::<crate::half::F16>()[..values.len()].iter().map(|half| half.0).collect()
    };
    let (found, expected) = (bits(&back), bits(&here));
    for (k, value) in values.iter().enumerate() {
        assert_eq!(found[k], expected[k], "{value:e}: {:#x} instead of {:#x}", found[k], expected[k]);
    }
    // On numbers that float16 holds the operations give what float32 gives, rounded.
    let rounded = |case: &Case, seed: u64| -> Vec<Tensor> {
        let mut random = crate::random::Philox::new(seed, 0);
        let arrays: Vec<Array> = case.inputs.iter().map(|input| input.make(&|size| size, &mut random)).collect();
        tensors(&arrays, DType::F32).iter().map(|t| to_dtype(t, DType::F16).unwrap()).collect()
    };
    use super::input::normal;
    let batch = |op, shape: &[usize]| {
        let inputs = [normal(shape), normal(shape), normal(&shape[1..2]), normal(&shape[1..2])];
        case(op, "channels last", inputs, |t| {
            let last = |t: &Tensor| crate::ops::movement::channels_last(t);
            let options = BatchNormOptions {
                running: None,
                weight: Some(&t[2]),
                bias: Some(&t[3]),
                training: true,
                momentum: 0.1,
                epsilon: 1e-5,
            };
            batch_norm_relu(&last(&t[0])?, Some(&last(&t[1])?), options)
        })
    };
    let moved = case("copy", "halves", [normal(&[5, 6, 7])], |t| {
        let view = crate::ops::movement::permute(&t[0], &[2, 0, 1])?;
        crate::ops::movement::contiguous(&crate::ops::movement::slice(&view, 0, 1, 3, 2)?)
    });
    for case in
        products().into_iter().chain([batch("batchNormRelu", &[3, 8, 6, 6]), batch("batchNorm", &[4, 5, 3, 3]), moved])
    {
        let what = format!("{} ({})", case.op, case.variant);
        let inputs = rounded(&case, 99);
        let wide: Vec<Tensor> = inputs.iter().map(|t| to_dtype(t, DType::F32).unwrap()).collect();
        let there: Vec<Tensor> = inputs.iter().map(|t| to_device(t, device).unwrap()).collect();
        let result = (case.run)(&there).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(result.dtype(), DType::F16, "{what}");
        let expected = numbers(&(case.run)(&wide).unwrap());
        let largest = expected.iter().fold(1.0f64, |a, b| a.max(b.abs()));
        for (found, expected) in numbers(&result).iter().zip(&expected) {
            assert!((found - expected).abs() <= largest / 1024.0, "{what}: {found} instead of {expected}");
        }
        if case.gradient {
            let cotangent = random_array(result.shape(), 7);
            let expected = case.gradients(&wide, &cotangent, DType::F32);
            let found = case.gradients(&there, &cotangent, DType::F16);
            for (found, expected) in found.unwrap().iter().zip(&expected.unwrap()) {
                let largest = expected.iter().fold(1.0f64, |a, b| a.max(b.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    let apart = (found - expected).abs();
                    assert!(apart <= largest / 100.0, "gradient of {what}: {found} instead of {expected}");
                }
            }
        }
    }
}

/// Everything the table promises was seen to run.
#[test]
fn table_of_operations_is_true() {
    if device().is_none() {
        return;
    }
    let rows = super::all_rows();
    let known = |name: &str| crate::ops::table::OPERATIONS.iter().filter(move |e| e.name == name).collect::<Vec<_>>();
    let promised = |name: &&&str| {
        let entries = known(name);
        let runs = |entry: &&crate::ops::table::Entry| entry.gpu || entry.on_cpu;
        crate::ops::elementwise::names().contains(name) || (!entries.is_empty() && entries.iter().all(runs))
    };
    let wrong: Vec<_> = rows.keys().filter(promised).filter(|name| rows[*name].gpu != Cell::Checked).collect();
    assert!(wrong.is_empty(), "these have a GPU path, and no case ran on it: {wrong:?}");
}
