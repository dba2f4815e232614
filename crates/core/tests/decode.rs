//! Decoders against Pillow on one file of each kind, and against thousands of damaged files.

use stable_pretraining_core::image::{DecodeOptions, Format, decode, image_size};
use stable_pretraining_core::random::Philox;

/// Name, largest difference from Pillow in grey levels: decoders round the inverse cosine transform, the interpolation of
/// colour and YCbCr → RGB differently, so lossy files may differ by some.
const FILES: [(&str, u8); 36] = [
    ("alpha.bmp", 0),
    ("alpha.png", 0),
    ("alpha.webp", 5),
    ("animated.gif", 0),
    ("animated.webp", 5),
    ("baseline.jpg", 6),
    ("bit-fields-16.bmp", 0),
    ("cmyk.jpg", 6),
    ("exif-6.jpg", 6),
    ("fifteen-bit.bmp", 0),
    ("four-bit.bmp", 0),
    ("grey-16.png", 0),
    ("grey.bmp", 0),
    ("grey.gif", 0),
    ("grey.jpg", 2),
    ("grey.png", 0),
    ("interlaced-16.png", 0),
    ("interlaced.gif", 0),
    ("lossless.webp", 0),
    ("lossy.webp", 5),
    ("offset.gif", 0),
    ("one-bit.bmp", 0),
    ("one-bit.png", 0),
    ("os2-palette.bmp", 0),
    ("os2.bmp", 0),
    ("palette.bmp", 0),
    ("palette.gif", 0),
    ("palette.png", 0),
    ("progressive.jpg", 6),
    ("restart.jpg", 6),
    ("rgb.bmp", 0),
    ("rgb.png", 0),
    ("run-lengths-4.bmp", 0),
    ("run-lengths-8.bmp", 0),
    ("top-down.bmp", 0),
    ("ycck.jpg", 6),
];

const MUTATIONS: usize = 2_000;

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/images/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|cause| panic!("{path}: {cause}"))
}

#[test]
fn every_kind_of_file_reads_as_in_pillow() {
    let expected = fixture("pil.rgb");
    let size = 29 * 21 * 3;
    for (i, (name, levels)) in FILES.iter().enumerate() {
        let bytes = fixture(name);
        let image = decode(&bytes, &DecodeOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let upright = if *name == "exif-6.jpg" { (21, 29) } else { (29, 21) };
        assert_eq!((image.width, image.height), upright, "{name}");
        assert_eq!(image_size(&bytes, &DecodeOptions::default()), Ok(upright), "{name}");
        let differences: Vec<u8> =
            image.data.iter().zip(&expected[i * size..(i + 1) * size]).map(|(a, b)| a.abs_diff(*b)).collect();
        let largest = differences.iter().max().copied().unwrap_or(0);
        assert!(largest <= *levels, "{name}: differs by {largest} levels");
        let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / size as f64;
        assert!(mean <= 1.0, "{name}: differs by {mean} levels on average");
    }
}

#[test]
fn orientation_can_be_left_alone() {
    let options = DecodeOptions { upright: false, ..DecodeOptions::default() };
    let bytes = fixture("exif-6.jpg");
    let image = decode(&bytes, &options).unwrap();
    assert_eq!((image.width, image.height), (29, 21));
    assert_eq!(image.data, decode(&fixture("baseline.jpg"), &options).unwrap().data);
    assert_eq!(image_size(&bytes, &options), Ok((29, 21)));
}

#[test]
fn truncated_files_are_errors_that_name_format_and_cause() {
    for (name, _) in FILES {
        let bytes = fixture(name);
        let format = Format::of(&bytes).unwrap().name();
        // The last bytes may be padding or an end marker.
        // Of an animation, the first frame is enough; a WebP says its length.
        let needed = if name == "animated.gif" { bytes.len() / 2 } else { bytes.len() };
        for length in 0..needed - 24 {
            let error = decode(&bytes[..length], &DecodeOptions::default()).expect_err(name);
            assert_eq!(error.code(), "ERR_DATA", "{name} cut to {length}");
            if length >= 12 {
                assert!(error.message().starts_with(format), "{name} cut to {length}: {error}");
            }
        }
    }
    let error = decode(b"GIFTED", &DecodeOptions::default()).unwrap_err();
    assert!(error.message().contains("47 49 46") && error.message().contains("JPEG"), "{error}");
    assert!(decode(&[], &DecodeOptions::default()).is_err());
}

#[test]
fn images_above_the_limit_are_refused_from_their_header() {
    let options = DecodeOptions { max_pixels: 29 * 21 - 1, ..DecodeOptions::default() };
    for (name, _) in FILES {
        let error = decode(&fixture(name), &options).unwrap_err();
        assert!(error.message().contains("limit of 608 pixels"), "{name}: {error}");
        let exact = DecodeOptions { max_pixels: 29 * 21, ..options };
        assert!(decode(&fixture(name), &exact).is_ok(), "{name}");
    }
    // A header that claims what its bytes cannot hold: refused although 60000 x 1000 is within the limit.
    let mut lying = fixture("baseline.jpg");
    let frame = lying.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    lying[frame + 5..frame + 9].copy_from_slice(&[60_000u16.to_be_bytes(), 1_000u16.to_be_bytes()].concat());
    let error = decode(&lying, &DecodeOptions::default()).unwrap_err();
    assert!(error.message().contains("cannot hold 1000x60000"), "{error}");
}

#[test]
fn headers_of_bitmaps_that_cannot_be_are_refused() {
    let whole = fixture("rgb.bmp");
    let changed = |at: usize, value: &[u8]| {
        let mut bytes = whole.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        decode(&bytes, &DecodeOptions::default()).unwrap_err().message().to_string()
    };
    for (at, value, cause) in [
        (14, 13u32, "a header of 13 bytes"),
        (18, 0, "its size is 0x21"),
        (18, u32::MAX, "its size is -1x21"),
        (22, 0, "its size is 29x0"),
        (22, 100_000, "truncated, its 29x100000 pixels"),
        (28, 23, "23 bits a pixel"),
        (30, 4, "compression 4"),
        (10, u32::MAX, "truncated"),
        (22, i32::MIN as u32, "more than the limit"),
    ] {
        let message = changed(at, &value.to_le_bytes());
        assert!(message.contains(cause), "{at} {value}: {message}");
    }
}

#[test]
fn damaged_files_give_an_error_or_an_image() {
    let mut random = Philox::new(2, 0);
    let options = DecodeOptions { max_pixels: 1 << 20, ..DecodeOptions::default() };
    let mut decoded = 0;
    for i in 0..MUTATIONS * 5 {
        let kind = [".jpg", ".png", ".webp", ".gif", ".bmp"][i % 5];
        let names: Vec<&str> = FILES.iter().map(|file| file.0).filter(|name| name.ends_with(kind)).collect();
        let mut bytes = fixture(names[random.below(names.len() as u64) as usize]);
        for _ in 0..=random.below(8) {
            damage(&mut bytes, &mut random);
        }
        match decode(&bytes, &options) {
            Ok(image) => {
                decoded += 1;
                assert_eq!(image.data.len(), image.width * image.height * 3);
                assert!(image.width * image.height <= options.max_pixels);
            }
            Err(error) => assert_eq!(error.code(), "ERR_DATA"),
        }
    }
    assert!(decoded > 0);
}

/// Flips bits, overwrites, cuts, repeats or removes a stretch.
fn damage(bytes: &mut Vec<u8>, random: &mut Philox) {
    if bytes.is_empty() {
        return;
    }
    let mut place = |limit: usize| random.below(limit.max(1) as u64) as usize;
    let at = place(bytes.len());
    let stretch = place((bytes.len() - at).min(40));
    match place(6) {
        0 => bytes[at] ^= 1 << place(8),
        1 => bytes[at] = place(256) as u8,
        2 => bytes[at..at + stretch].fill(0xFF),
        3 => bytes.truncate(at),
        4 => {
            let copy = bytes[at..at + stretch].to_vec();
            bytes.splice(at..at, copy);
        }
        _ => drop(bytes.drain(at..at + stretch)),
    }
}
