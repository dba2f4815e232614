//! Augmentation pipelines: distributions of what is drawn, independence of order and batching, errors.

use stable_pretraining_core::error::Result;
use stable_pretraining_core::image::augment::{Picture, Pipeline, View, Worker, view_generator};
use stable_pretraining_core::image::geometry::Padding;
use stable_pretraining_core::image::plan::Plan;
use stable_pretraining_core::image::planes::{Layout, Source};
use stable_pretraining_core::image::record::Extent;
use stable_pretraining_core::image::resample::Interpolation;
use stable_pretraining_core::image::step::Step;
use stable_pretraining_core::random::Philox;

const DRAWS: usize = 20_000;
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

fn crop(scale: (f64, f64)) -> Step {
    let (ratio, interpolation) = ((3.0 / 4.0, 4.0 / 3.0), Interpolation::Bilinear);
    Step::RandomResizedCrop { size: (32, 32), scale, ratio, interpolation, antialias: true }
}

fn jitter(p: f64) -> Step {
    let (brightness, saturation) = (Some((0.6, 1.4)), Some((0.2, 1.8)));
    Step::ColorJitter { brightness, contrast: Some((0.6, 1.4)), saturation, hue: Some((-0.1, 0.1)), p }
}

fn pipeline(steps: &[Step]) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for step in steps {
        pipeline.push(step.clone()).unwrap();
    }
    pipeline
}

/// The recipe of SimCLR for small images (Chen et al. 2020, appendix A and B.9, with blur).
fn simclr() -> Pipeline {
    pipeline(&[
        crop((0.2, 1.0)),
        Step::RandomHorizontalFlip { p: 0.5 },
        jitter(0.8),
        Step::RandomGrayscale { p: 0.2 },
        Step::GaussianBlur { size: [3, 3], sigma: (0.1, 2.0), p: 0.5 },
        Step::RandomSolarize { threshold: 128.0, p: 0.1 },
        Step::ToImage,
        Step::Normalize { mean: MEAN, std: STD },
    ])
}

/// What `step` records in many draws for an image of that size.
fn draws(step: &Step, height: usize, width: usize) -> Vec<Vec<f64>> {
    let extent = Extent { height, width, channels: 3 };
    (0..DRAWS as u64)
        .map(|sample| {
            let mut plan = Plan::default();
            step.plan(extent, &mut view_generator(1, 0, sample, 0), &mut plan).unwrap();
            assert_eq!(plan.record.len(), step.record(extent).count());
            plan.record
        })
        .collect()
}

fn room(count: usize) -> Result<Vec<f32>> {
    Ok(vec![0.0; count])
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    values.for_each(|value| (sum, count) = (sum + value, count + 1));
    sum / f64::from(count)
}

fn quantiles(mut values: Vec<f64>) -> [f64; 5] {
    values.sort_by(f64::total_cmp);
    [0.05, 0.25, 0.5, 0.75, 0.95].map(|level| values[(level * (values.len() - 1) as f64).round() as usize])
}

fn pixels(count: usize) -> Vec<u8> {
    let mut random = Philox::new(3, 3);
    (0..count).map(|_| random.next_u32() as u8).collect()
}

fn picture(data: &[u8], height: usize, width: usize) -> Source<'_, u8> {
    Source { data, width, height, channels: 3, layout: Layout::Interleaved }
}

#[test]
fn crops_are_distributed_as_torchvision_draws_them() {
    // Of 20,000 draws of torchvision 0.29: area (part of the image) and width/height at 5, 25, 50, 75, 95 %; means of
    // area, log aspect, and place (part of the room there is, 0 without room).
    let references = [
        (
            (0.08, 1.0),
            (96, 96),
            CropStatistics {
                area: [0.1182, 0.2767, 0.4771, 0.6745, 0.8590],
                aspect: [0.7746, 0.8734, 1.0, 1.1429, 1.2895],
                area_mean: 0.4803,
                log_aspect_mean: -0.0014,
                place: [0.4931, 0.4937],
            },
        ),
        (
            (0.2, 1.0),
            (60, 100),
            CropStatistics {
                area: [0.2210, 0.3022, 0.4073, 0.5212, 0.6767],
                aspect: [0.7857, 0.9138, 1.0577, 1.2, 1.3077],
                area_mean: 0.4201,
                log_aspect_mean: 0.0399,
                place: [0.4798, 0.5002],
            },
        ),
    ];
    for (scale, (height, width), expected) in references {
        let found = CropStatistics::of(&draws(&crop(scale), height, width), height, width);
        for (name, found, expected) in found.numbers().into_iter().zip(expected.numbers()).map(|(a, b)| (a.0, a.1, b.1))
        {
            assert!((found - expected).abs() < 0.02, "{height}x{width} {name}: {found}, torchvision {expected}");
        }
    }
}

struct CropStatistics {
    area: [f64; 5],
    aspect: [f64; 5],
    area_mean: f64,
    log_aspect_mean: f64,
    place: [f64; 2],
}

impl CropStatistics {
    fn of(draws: &[Vec<f64>], height: usize, width: usize) -> Self {
        let area = |draw: &Vec<f64>| draw[2] * draw[3] / (height * width) as f64;
        let aspect = |draw: &Vec<f64>| draw[3] / draw[2];
        let place = |at: usize, extent: usize| {
            mean(draws.iter().map(|draw| draw[at] / (extent as f64 - draw[at + 2]).max(1.0)))
        };
        Self {
            area: quantiles(draws.iter().map(area).collect()),
            aspect: quantiles(draws.iter().map(aspect).collect()),
            area_mean: mean(draws.iter().map(area)),
            log_aspect_mean: mean(draws.iter().map(|draw| aspect(draw).ln())),
            place: [place(0, height), place(1, width)],
        }
    }

    fn numbers(&self) -> Vec<(&'static str, f64)> {
        let mut numbers = vec![("area mean", self.area_mean), ("log aspect mean", self.log_aspect_mean)];
        numbers.extend(self.area.map(|value| ("area quantile", value)));
        numbers.extend(self.aspect.map(|value| ("aspect quantile", value)));
        numbers.extend(self.place.map(|value| ("place", value)));
        numbers
    }
}

#[test]
fn steps_are_done_with_their_probability() {
    let threshold = 128.0;
    for p in [0.0, 0.1, 0.5, 1.0] {
        let steps = [
            Step::RandomHorizontalFlip { p },
            Step::RandomVerticalFlip { p },
            Step::RandomGrayscale { p },
            Step::RandomSolarize { threshold, p },
            Step::RandomInvert { p },
            Step::RandomEqualize { p },
            Step::RandomAutocontrast { p },
            Step::RandomPosterize { bits: 3, p },
            Step::RandomAdjustSharpness { factor: 2.0, p },
            Step::GaussianBlur { size: [3, 3], sigma: (0.1, 2.0), p },
            jitter(p),
            Step::RandomErasing { scale: (0.02, 0.33), ratio: (0.3, 3.3), value: Some([0.0; 3]), p },
        ];
        for step in steps {
            // Order and place may be drawn as zeros, the last numbers of these records not.
            let done = |record: &Vec<f64>| f64::from(u8::from(record.iter().any(|&number| number != 0.0)));
            let found = mean(draws(&step, 32, 32).iter().map(done));
            assert!((found - p).abs() < 0.012, "{} with p = {p}: {found}", step.name());
        }
    }
}

#[test]
fn factors_are_uniform_and_orders_equally_likely() {
    let records = draws(&jitter(1.0), 32, 32);
    for (place, (low, high)) in [(0.6, 1.4), (0.6, 1.4), (0.2, 1.8), (-0.1, 0.1)].into_iter().enumerate() {
        let values: Vec<f64> = records.iter().map(|record| record[place]).collect();
        assert!(values.iter().all(|value| (low..high).contains(value)), "factor {place}");
        for (level, found) in [0.05, 0.25, 0.5, 0.75, 0.95].into_iter().zip(quantiles(values)) {
            let expected = low + level * (high - low);
            assert!((found - expected).abs() < 0.015 * (high - low), "factor {place} at {level}: {found}");
        }
    }
    let mut orders = std::collections::BTreeMap::new();
    for record in &records {
        *orders.entry(record[4..].iter().map(|&aspect| aspect as u8).collect::<Vec<_>>()).or_insert(0usize) += 1;
    }
    assert_eq!(orders.len(), 24);
    assert!(orders.values().all(|&count| count.abs_diff(DRAWS / 24) < 130), "{orders:?}");
    let sigmas = draws(&Step::GaussianBlur { size: [23, 23], sigma: (0.1, 2.0), p: 1.0 }, 32, 32);
    assert!(sigmas.iter().all(|record| (0.1..2.0).contains(&record[0]) && record[0] == record[1]));
    assert!((mean(sigmas.iter().map(|record| record[0])) - 1.05).abs() < 0.02);
}

#[test]
fn windows_stay_inside_and_places_are_even() {
    for record in draws(&crop((0.08, 1.0)), 7, 90).iter().chain(&draws(&crop((0.5, 1.0)), 500, 3)) {
        let inside = |height: f64, width: f64| record[0] + record[2] <= height && record[1] + record[3] <= width;
        assert!(inside(7.0, 90.0) || inside(500.0, 3.0), "{record:?}");
        assert!(record[2] >= 1.0 && record[3] >= 1.0);
    }
    let padding = [4; 4];
    let step = Step::RandomCrop { size: (32, 32), padding, pad_if_needed: false, mode: Padding::Constant(0.0) };
    let mut counts = [[0usize; 9]; 2];
    for record in draws(&step, 32, 32) {
        counts[0][record[1] as usize] += 1;
        counts[1][record[2] as usize] += 1;
        assert_eq!(record[3..], [32.0, 32.0, 1.0, 4.0, 4.0, 4.0, 4.0]);
    }
    assert!(counts.iter().flatten().all(|count| count.abs_diff(DRAWS / 9) < 200), "{counts:?}");
    let erasing = Step::RandomErasing { scale: (0.02, 0.33), ratio: (0.3, 3.3), value: Some([0.0; 3]), p: 1.0 };
    for record in draws(&erasing, 40, 60) {
        assert!(record[0] + record[2] <= 40.0 && record[1] + record[3] <= 60.0);
        assert!((0.01..0.36).contains(&(record[2] * record[3] / 2400.0)) || record[2] == 0.0, "{record:?}");
    }
}

#[test]
fn draws_of_different_steps_and_views_are_independent() {
    let correlation = |pairs: &[(f64, f64)]| {
        let (a, b) = (mean(pairs.iter().map(|pair| pair.0)), mean(pairs.iter().map(|pair| pair.1)));
        let product = |f: fn(f64, f64) -> f64| mean(pairs.iter().map(|pair| f(pair.0 - a, pair.1 - b)));
        product(|x, y| x * y) / (product(|x, _| x * x) * product(|_, y| y * y)).sqrt()
    };
    let step = jitter(1.0);
    let extent = Extent { height: 8, width: 8, channels: 3 };
    let draw = |sample: u64, epoch: u32, view: u32| {
        let mut plan = Plan::default();
        step.plan(extent, &mut view_generator(9, epoch, sample, view), &mut plan).unwrap();
        plan.record
    };
    let samples = 0..DRAWS as u64;
    for (name, pairs) in [
        ("factors", samples.clone().map(|i| (draw(i, 0, 0)[0], draw(i, 0, 0)[1])).collect::<Vec<_>>()),
        ("views", samples.clone().map(|i| (draw(i, 0, 0)[0], draw(i, 0, 1)[0])).collect()),
        ("epochs", samples.clone().map(|i| (draw(i, 0, 0)[0], draw(i, 1, 0)[0])).collect()),
        ("samples", samples.map(|i| (draw(i, 0, 0)[0], draw(i + 1, 0, 0)[0])).collect()),
    ] {
        assert!(correlation(&pairs).abs() < 0.03, "{name}: {}", correlation(&pairs));
    }
}

#[test]
fn a_view_depends_on_seed_epoch_sample_and_view_alone() {
    let data = pixels(6 * 40 * 36 * 3);
    let pictures: Vec<Picture<'_>> =
        data.chunks(40 * 36 * 3).map(|data| Picture::Pixels(picture(data, 40, 36))).collect();
    let samples = [7, 3, 900, 4, 5, 6];
    let recipe = simclr();
    let whole = Worker::default().apply_batch(&[&recipe, &recipe], &pictures, 1, 2, &samples, room).unwrap();
    assert_eq!(whole[0].pixels.len(), 6 * 32 * 32 * 3);
    assert_eq!(whole[0].record.len(), 6 * (4 + 1 + 8 + 1 + 2 + 1));
    assert_ne!(whole[0].pixels, whole[1].pixels);
    // The same pictures in two calls on two threads, in another order.
    let size = 32 * 32 * 3;
    std::thread::scope(|scope| {
        for part in [[5, 1, 3], [0, 2, 4]] {
            let (pictures, samples, recipe, whole) = (&pictures, &samples, &recipe, &whole);
            scope.spawn(move || {
                let pictures: Vec<Picture<'_>> = part.iter().map(|&i| pictures[i]).collect();
                let samples: Vec<u64> = part.iter().map(|&i| samples[i]).collect();
                let mut worker = Worker::default();
                let views = worker.apply_batch(&[recipe, recipe], &pictures, 1, 2, &samples, room).unwrap();
                for (view, whole) in views.iter().zip(whole) {
                    for (place, &i) in part.iter().enumerate() {
                        let at = |view: &View, i: usize| view.pixels[i * size..(i + 1) * size].to_vec();
                        assert!(at(view, place) == at(whole, i), "picture {i}");
                    }
                }
            });
        }
    });
    for (seed, epoch) in [(2, 2), (1, 3)] {
        let other = Worker::default().apply_batch(&[&recipe], &pictures, seed, epoch, &samples, room).unwrap();
        assert_ne!(other[0].pixels, whole[0].pixels);
    }
}

#[test]
fn layouts_and_encodings_of_one_picture_give_one_result() {
    let data = pixels(20 * 30 * 3);
    let planar: Vec<u8> = (0..3).flat_map(|channel| data.iter().skip(channel).step_by(3).copied()).collect();
    let png = stable_pretraining_core::image::encode_png(&data, 30, 20, 3).unwrap();
    let recipe = simclr();
    let mut worker = Worker::default();
    let mut once = |picture: Picture<'_>| worker.apply_batch(&[&recipe], &[picture], 0, 0, &[11], room).unwrap();
    let expected = once(Picture::Pixels(picture(&data, 20, 30)));
    assert_eq!(
        once(Picture::Pixels(Source { data: &planar, layout: Layout::Planar, ..picture(&data, 20, 30) })),
        expected
    );
    assert_eq!(once(Picture::Encoded(&png)), expected);
}

#[test]
fn fused_passes_equal_single_steps() {
    // Only crops, flips and colours that leave bytes as they are: the result must be the source's pixels.
    let data = pixels(36 * 36 * 3);
    let recipe = pipeline(&[
        Step::CenterCrop { size: (30, 34) },
        Step::RandomHorizontalFlip { p: 1.0 },
        Step::RandomVerticalFlip { p: 1.0 },
        Step::RandomSolarize { threshold: 255.0, p: 0.0 },
        Step::RandomInvert { p: 1.0 },
        Step::ToImage,
        Step::Normalize { mean: [0.5; 3], std: [0.25; 3] },
    ]);
    let views = Worker::default()
        .apply_batch(&[&recipe], &[Picture::Pixels(picture(&data, 36, 36))], 0, 0, &[0], room)
        .unwrap();
    assert_eq!(views[0].extent, Extent { height: 30, width: 34, channels: 3 });
    for (i, &value) in views[0].pixels.iter().enumerate() {
        let (y, x, channel) = (i / 102, i / 3 % 34, i % 3);
        let byte = 255 - data[((3 + 29 - y) * 36 + 1 + 33 - x) * 3 + channel];
        let expected = (f32::from(byte) / 255.0 - 0.5) / 0.25;
        assert!((value - expected).abs() < 1e-6, "row {y}, column {x}: {value}, not {expected}");
    }
}

#[test]
fn grey_pictures_stay_grey_or_become_rgb() {
    let data = pixels(28 * 28);
    let source = Source { data: &data, width: 28, height: 28, channels: 1, layout: Layout::Interleaved };
    let mut worker = Worker::default();
    let mut channels = |steps: &[Step]| {
        let views = worker.apply_batch(&[&pipeline(steps)], &[Picture::Pixels(source)], 0, 0, &[0], room).unwrap();
        assert!(views[0].pixels.iter().all(|value| (0.0..=1.0).contains(value)));
        (views[0].extent.channels, views[0].pixels.len())
    };
    assert_eq!(channels(&[crop((0.5, 1.0)), jitter(1.0), Step::ToImage]), (1, 1024));
    assert_eq!(channels(&[Step::Rgb, crop((0.5, 1.0)), jitter(1.0), Step::ToImage]), (3, 3072));
    assert_eq!(channels(&[crop((0.5, 1.0)), Step::Rgb, jitter(1.0), Step::ToImage]), (3, 3072));
}

#[test]
fn bad_pictures_are_named_by_their_place() {
    let data = pixels(40 * 40 * 3);
    let good = Picture::Pixels(picture(&data, 40, 40));
    let recipe = simclr();
    let mut worker = Worker::default();
    let (place, error) = worker
        .apply_batch(&[&recipe], &[good, Picture::Encoded(b"\xFF\xD8\xFF nothing")], 0, 0, &[0, 1], room)
        .unwrap_err();
    assert_eq!((place, error.code()), (1, "ERR_DATA"), "{error}");
    let short = Picture::Pixels(picture(&data[1..], 40, 40));
    let (place, error) = worker.apply_batch(&[&recipe], &[short], 0, 0, &[0], room).unwrap_err();
    assert_eq!((place, error.code()), (0, "ERR_ARGUMENT"), "{error}");
    let plain = pipeline(&[Step::ToImage]);
    let small = Picture::Pixels(picture(&data, 20, 40));
    let (place, error) = worker.apply_batch(&[&plain], &[good, good, small], 0, 0, &[0, 1, 2], room).unwrap_err();
    assert_eq!((place, error.code()), (2, "ERR_SHAPE"), "{error}");
    assert!(error.message().contains("CenterCrop"), "{error}");
    // After errors the worker still works.
    assert!(worker.apply_batch(&[&recipe], &[good], 0, 0, &[0], room).is_ok());
}

#[test]
fn bad_arguments_are_refused_when_a_step_is_added() {
    let zero = Padding::Constant(0.0);
    let bad = [
        Step::RandomHorizontalFlip { p: 1.5 },
        Step::RandomGrayscale { p: f64::NAN },
        crop((0.0, 1.0)),
        crop((0.5, 0.2)),
        Step::CenterCrop { size: (0, 4) },
        Step::GaussianBlur { size: [4, 3], sigma: (0.1, 2.0), p: 0.5 },
        Step::GaussianBlur { size: [3, 3], sigma: (0.0, 2.0), p: 0.5 },
        Step::ColorJitter { brightness: None, contrast: None, saturation: None, hue: Some((-0.6, 0.1)), p: 1.0 },
        Step::RandomPosterize { bits: 9, p: 0.5 },
        Step::RandomSolarize { threshold: 256.0, p: 0.5 },
        Step::Normalize { mean: MEAN, std: STD },
        Step::ResizeEdge { size: 10, max_size: Some(10), interpolation: Interpolation::Bilinear, antialias: true },
    ];
    for step in bad {
        let error = Pipeline::new().push(step.clone()).expect_err(step.name());
        assert_eq!(error.code(), "ERR_ARGUMENT");
        assert!(error.message().starts_with(step.name()) || error.message().starts_with("resize"), "{error}");
    }
    let extent = Extent { height: 20, width: 20, channels: 3 };
    let data = pixels(20 * 20 * 3);
    let bytes = Picture::Pixels(picture(&data, 20, 20));
    assert!(Worker::default().apply_batch(&[&pipeline(&[crop((0.2, 1.0))])], &[bytes], 0, 0, &[0], room).is_err());
    let fits = |step: Step| step.plan(extent, &mut view_generator(0, 0, 0, 0), &mut Plan::default()).is_ok();
    let crop = |pad_if_needed| Step::RandomCrop { size: (32, 16), padding: [0; 4], pad_if_needed, mode: zero };
    assert!(!fits(crop(false)) && fits(crop(true)));
    let mut twice = pipeline(&[Step::ToImage]);
    assert!(twice.push(Step::ToImage).is_err());
}
