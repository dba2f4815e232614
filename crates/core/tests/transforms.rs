//! Image operations against torchvision: reference vectors (one safetensors file a case, described by its metadata).
//! `SPT_GOLDEN=DIR` reads another directory of cases instead of the small selection kept here.

use std::path::PathBuf;

use serde_json::Value;
use stable_pretraining_core::error::Result;
use stable_pretraining_core::image::color::PixelOp;
use stable_pretraining_core::image::geometry::{Padding, central};
use stable_pretraining_core::image::operation::{Input, Operation, Outcome, Scratch, execute};
use stable_pretraining_core::image::plan::{affine, rotation};
use stable_pretraining_core::image::planes::{Layout, Source};
use stable_pretraining_core::image::record::Extent;
use stable_pretraining_core::image::resample::{Interpolation, Window, edge_size};

#[test]
fn operations_equal_torchvision() {
    let folder = std::env::var_os("SPT_GOLDEN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/transforms")),
        PathBuf::from,
    );
    let mut names: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    names.sort();
    let (mut passed, mut skipped, mut failures) = (0, Vec::new(), Vec::new());
    for path in &names {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        match Case::read(path).check() {
            Verdict::Passed => passed += 1,
            Verdict::Skipped => skipped.push(name),
            Verdict::Failed(why) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(failures.is_empty(), "{} passed, failed:\n{}", passed, failures.join("\n"));
    assert!(passed >= 40, "{passed} cases in {}", folder.display());
    eprintln!("{passed} passed, {} skipped: {}", skipped.len(), skipped.join(" "));
}

enum Verdict {
    Passed,
    Skipped,
    Failed(String),
}

struct Case {
    file: Vec<u8>,
    header: Value,
    case: Value,
}

struct Tensor<'a> {
    kind: &'a str,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl Tensor<'_> {
    fn floats(&self) -> Vec<f32> {
        self.bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
    }
}

impl Case {
    fn read(path: &PathBuf) -> Self {
        let file = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
        let case = serde_json::from_str(header["__metadata__"]["case"].as_str().unwrap()).unwrap();
        Self { file: file[8 + length..].to_vec(), header, case }
    }

    fn tensor(&self, name: &str) -> Tensor<'_> {
        let entry = &self.header[name];
        let number = |value: &Value| value.as_u64().unwrap() as usize;
        let offsets = &entry["data_offsets"];
        Tensor {
            kind: entry["dtype"].as_str().unwrap_or(""),
            shape: entry["shape"].as_array().map(|shape| shape.iter().map(number).collect()).unwrap_or_default(),
            bytes: &self.file[number(&offsets[0])..number(&offsets[1])],
        }
    }

    fn check(&self) -> Verdict {
        let op = self.case["op"].as_str().unwrap();
        if self.header.get("image").is_none() {
            return Verdict::Skipped;
        }
        let image = self.tensor("image");
        let (height, width) = (image.shape[1], image.shape[2]);
        let operations = match operations(op, &self.case["attrs"], height, width, image.kind == "U8") {
            Some(operations) => operations,
            None => return Verdict::Skipped,
        };
        let operations = match operations {
            Ok(operations) => operations,
            Err(error) => return Verdict::Failed(error.to_string()),
        };
        let (bytes, floats) = prepared(op, &image);
        let channels = image.shape[0];
        let layout = Layout::Planar;
        let input = if image.kind == "U8" {
            Input::Bytes(Source { data: &bytes, width, height, channels, layout })
        } else {
            Input::Floats(Source { data: &floats, width, height, channels, layout })
        };
        let expected = self.tensor("out");
        let mut scratch = Scratch::default();
        match execute(input, &operations, &mut scratch) {
            Err(error) => Verdict::Failed(error.to_string()),
            Ok(Outcome::Bytes(out)) => {
                if expected.kind != "U8" || [out.channels, out.height, out.width] != expected.shape[..] {
                    return Verdict::Failed(format!("{}x{}x{} bytes", out.channels, out.height, out.width));
                }
                let levels = self.case["attrs"]["levels"].as_u64().unwrap_or(0);
                let far = |(a, b): (&u8, &u8)| u64::from(a.abs_diff(*b)) > levels;
                let wrong = out.data.iter().zip(expected.bytes).filter(|&pair| far(pair)).count();
                if wrong == 0 {
                    Verdict::Passed
                } else {
                    Verdict::Failed(format!("{wrong} bytes of {}", out.data.len()))
                }
            }
            Ok(Outcome::Floats(out)) => {
                if expected.kind != "F32" || [out.channels, out.height, out.width] != expected.shape[..] {
                    return Verdict::Failed(format!("{}x{}x{} floats", out.channels, out.height, out.width));
                }
                let (rtol, atol) = (self.case["rtol"].as_f64().unwrap(), self.case["atols"]["out"].as_f64().unwrap());
                let excess = |(a, b): (&f32, f32)| f64::from((a - b).abs()) - atol - rtol * f64::from(b.abs());
                let worst = out.data.iter().zip(expected.floats()).map(excess).fold(f64::MIN, f64::max);
                if worst <= 0.0 { Verdict::Passed } else { Verdict::Failed(format!("{worst:e} above the tolerance")) }
            }
        }
    }
}

/// The image of a case: some are changed first, as their note says.
fn prepared(op: &str, image: &Tensor<'_>) -> (Vec<u8>, Vec<f32>) {
    if image.kind == "U8" {
        let change = |&level: &u8| if op == "autocontrast" { level / 2 + 40 } else { level };
        return (image.bytes.iter().map(change).collect(), Vec::new());
    }
    let change = |value: f32| match op {
        "autocontrast" => value * 0.5 + 0.2,
        "to_dtype" => value * 0.97 + 0.01,
        _ => value,
    };
    (Vec::new(), image.floats().into_iter().map(change).collect())
}

/// The operations of a case; `None` where none is built.
fn operations(op: &str, attrs: &Value, height: usize, width: usize, bytes: bool) -> Option<Result<Vec<Operation>>> {
    let double = |key: &str| attrs[key].as_f64().unwrap();
    let float = |key: &str| double(key) as f32;
    let whole = |key: &str| attrs[key].as_u64().unwrap() as usize;
    let list = |key: &str| -> Vec<f64> { attrs[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
    let three = |key: &str| -> [f32; 3] { std::array::from_fn(|i| list(key)[i] as f32) };
    let window = || Window { top: whole("top"), left: whole("left"), height: whole("height"), width: whole("width") };
    let none = Padding::Constant(0.0);
    let pixel = |op| vec![Operation::Pixel(op)];
    Some(Ok(match op {
        "adjust_brightness" => pixel(PixelOp::Brightness(float("brightness_factor"))),
        "adjust_contrast" => vec![Operation::Contrast(double("contrast_factor"))],
        "adjust_saturation" => pixel(PixelOp::Saturation(double("saturation_factor"))),
        "adjust_hue" => pixel(PixelOp::Hue(float("hue_factor"))),
        "adjust_gamma" => pixel(PixelOp::Gamma(float("gamma"), float("gain"))),
        "adjust_sharpness" => vec![Operation::Sharpen(double("sharpness_factor"))],
        "color_jitter" => attrs["order"]
            .as_array()?
            .iter()
            .map(|name| {
                let name = name.as_str().unwrap();
                let factor = attrs["factors"][name].as_f64().unwrap();
                match name {
                    "brightness" => Operation::Pixel(PixelOp::Brightness(factor as f32)),
                    "contrast" => Operation::Contrast(factor),
                    "saturation" => Operation::Pixel(PixelOp::Saturation(factor)),
                    _ => Operation::Pixel(PixelOp::Hue(factor as f32)),
                }
            })
            .collect(),
        "rgb_to_grayscale" if whole("num_output_channels") == 1 => pixel(PixelOp::ToGrey),
        "rgb_to_grayscale" => pixel(PixelOp::Grey),
        "solarize" => pixel(PixelOp::Solarize(float("threshold"))),
        "invert" => pixel(PixelOp::Invert),
        "posterize" => pixel(PixelOp::Posterize(whole("bits") as u32)),
        "normalize" => pixel(PixelOp::Normalize(three("mean"), three("std"))),
        "to_dtype" if attrs["dtype"] == "uint8" => pixel(PixelOp::ToBytes),
        "to_dtype" => pixel(PixelOp::ToFloats),
        "autocontrast" => vec![Operation::Autocontrast],
        "equalize" => vec![Operation::Equalize],
        "horizontal_flip" => vec![Operation::FlipHorizontal],
        "vertical_flip" => vec![Operation::FlipVertical],
        "gaussian_blur" => {
            let size: [usize; 2] = std::array::from_fn(|i| list("kernel_size")[i] as usize);
            let sigma = match attrs["sigma"].is_null() {
                true => size.map(|size| size as f64 * 0.15 + 0.35),
                false => std::array::from_fn(|i| list("sigma")[i]),
            };
            vec![Operation::Blur { size, sigma }]
        }
        "crop" => {
            let place = |key: &str| attrs[key].as_i64().unwrap();
            let (top, left) = (place("top"), place("left"));
            vec![Operation::Crop { top, left, height: whole("height"), width: whole("width"), padding: none }]
        }
        "center_crop" => {
            let (new_height, new_width) = (list("size")[0] as usize, list("size")[1] as usize);
            let (top, left) = (central(height, new_height), central(width, new_width));
            vec![Operation::Crop { top, left, height: new_height, width: new_width, padding: none }]
        }
        "pad" => {
            let sides = list("padding");
            let padding = match attrs["padding_mode"].as_str()? {
                "constant" => Padding::Constant(float("fill")),
                "edge" => Padding::Edge,
                "reflect" => Padding::Reflect,
                _ => Padding::Symmetric,
            };
            vec![Operation::Crop {
                top: -(sides[1] as i64),
                left: -(sides[0] as i64),
                height: height + (sides[1] + sides[3]) as usize,
                width: width + (sides[0] + sides[2]) as usize,
                padding,
            }]
        }
        "rotate" | "affine" => {
            let extent = Extent { height, width, channels: 3 };
            let (bilinear, fill) = (attrs["interpolation"] == "bilinear", Some([double("fill"); 3]));
            let two = |key: &str| [list(key)[0], list(key)[1]];
            vec![if op == "rotate" {
                rotation(extent, double("angle"), attrs["expand"] == true, None, bilinear, fill)
            } else {
                let [angle, scale] = [double("angle"), double("scale")];
                affine(extent, [angle, scale], two("translate"), two("shear"), None, bilinear, fill)
            }]
        }
        "erase" => {
            let value = [float("value") * if bytes { 255.0 } else { 1.0 }; 3];
            vec![Operation::Erase { window: window(), value }]
        }
        "resize" | "resized_crop" => {
            let interpolation = match attrs["interpolation"].as_str()? {
                "nearest" => Interpolation::Nearest,
                "nearest-exact" => Interpolation::NearestExact,
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            };
            let size = match attrs["size"].as_u64() {
                Some(size) => edge_size(height, width, size as usize, attrs["max_size"].as_u64().map(|n| n as usize)),
                None => Ok((list("size")[0] as usize, list("size")[1] as usize)),
            };
            let (height, width) = match size {
                Ok(size) => size,
                Err(error) => return Some(Err(error)),
            };
            let window = (op == "resized_crop").then(window);
            let antialias = attrs["antialias"].as_bool().unwrap_or(false);
            vec![Operation::Resize { window, height, width, interpolation, antialias }]
        }
        _ => return None,
    }))
}
