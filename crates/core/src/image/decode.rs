//! Bytes of a JPEG, PNG, WebP, GIF or BMP file → 8-bit RGB pixels. Neither file access nor resizing.
//!
//! Conversions follow `PIL.Image.convert("RGB")`: grey and palette are expanded, alpha is dropped (not composited), of
//! 16-bit channels the upper byte is kept, CMYK as Adobe stores it becomes R = C·K/255. Of an animation the first frame
//! is taken; what it leaves of a GIF's screen has the transparent colour, else the first. The format is told from the first bytes, never from a name.

use std::borrow::Cow;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::Image;
use super::bmp::Bmp;
use super::exif::{Orientation, orientation};
use crate::error::{Error, Result};
use crate::{bail, ensure};

/// What a decoder accepts, and how pixels are turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Images of more pixels are refused before memory is taken for them.
    pub max_pixels: usize,
    /// Turns the image upright by its EXIF orientation (as `PIL.ImageOps.exif_transpose`).
    pub upright: bool,
}

impl Default for DecodeOptions {
    /// At most 89,478,485 pixels (a quarter of a gibibyte of RGB, where PIL begins to warn), upright.
    fn default() -> Self {
        Self { max_pixels: (1 << 28) / 3, upright: true }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
}

impl Format {
    /// The format whose signature `bytes` begin with, if it is one that can be decoded.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.len() >= 12 && bytes.starts_with(b"RIFF") && &bytes[8..12] == b"WEBP" {
            Some(Self::WebP)
        } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
            Some(Self::Gif)
        } else if bytes.starts_with(b"BM") {
            Some(Self::Bmp)
        } else {
            None
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
        }
    }

    /// Pixels that one byte of a file can stand for at most, where the format has such a bound: a baseline or DC scan
    /// spends a bit a block of 64 (times 4 where chroma is the only plane left), deflate expands 1032-fold with 8 pixels
    /// in a byte. A lossless WebP of one colour has no bound, nor has a GIF's screen around a small frame or a BMP of runs.
    fn pixels_per_byte(self) -> Option<usize> {
        match self {
            Self::Jpeg => Some(64 * 8 * 4),
            Self::Png => Some(1032 * 8),
            Self::WebP | Self::Gif | Self::Bmp => None,
        }
    }
}

/// Decodes a whole image.
///
/// # Errors
/// `Error::Data` naming the format and the cause: unknown signature, truncated or corrupt data, too many pixels.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image> {
    let mut image = Image::default();
    decode_into(bytes, options, &mut image)?;
    Ok(image)
}

/// As [`decode`], into an image whose memory is used again. After an error its pixels are unspecified.
pub fn decode_into(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<()> {
    let format = known_format(bytes)?;
    let turn = guarded(format, || match format {
        Format::Jpeg => decode_jpeg(bytes, options, image),
        Format::Png => decode_png(bytes, options, image),
        Format::WebP => decode_webp(bytes, options, image),
        Format::Gif => decode_gif(bytes, options, image),
        Format::Bmp => decode_bmp(bytes, options, image),
    })?;
    if options.upright {
        turn.apply(image);
    }
    Ok(())
}

/// Width and height as [`decode`] would give them, from the headers alone.
pub fn image_size(bytes: &[u8], options: &DecodeOptions) -> Result<(usize, usize)> {
    let format = known_format(bytes)?;
    let (width, height, turn) = guarded(format, || match format {
        Format::Jpeg => jpeg_headers(bytes, options).map(|(_, size)| size),
        Format::Png => png_headers(bytes, options).map(|(_, size)| size),
        Format::WebP => webp_headers(bytes, options).map(|(_, size)| size),
        Format::Gif => gif_headers(bytes, options).map(|(_, size)| size),
        Format::Bmp => bmp_headers(bytes, options).map(|bmp| (bmp.width, bmp.height, Orientation::UPRIGHT)),
    })?;
    Ok(if options.upright && turn.swaps_sides() { (height, width) } else { (width, height) })
}

/// Width, height and orientation as stored.
type Header = (usize, usize, Orientation);

fn known_format(bytes: &[u8]) -> Result<Format> {
    Format::of(bytes).ok_or_else(|| {
        let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Error::Data(format!(
            "image of unknown format: {} bytes that begin with [{}]; JPEG, PNG, WebP, GIF and BMP are read",
            bytes.len(),
            start.join(" ")
        ))
    })
}

/// A decoder's panic becomes an error: bytes from outside must never take the process down.
fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Error::Data(format!("{} image: its decoder broke off; the file is corrupt", format.name())))
    })
}

fn broken(format: Format, cause: impl std::fmt::Display) -> Error {
    Error::Data(format!("{} image: {cause}", format.name()))
}

fn check_size(format: Format, width: usize, height: usize, bytes: usize, options: &DecodeOptions) -> Result<()> {
    let name = format.name();
    ensure!(width > 0 && height > 0, Data, "{name} image: its size is {width}x{height}");
    let pixels = width.saturating_mul(height);
    ensure!(
        pixels <= options.max_pixels,
        Data,
        "{name} image: {width}x{height} is more than the limit of {} pixels; raise it if the file is trusted",
        options.max_pixels
    );
    if let Some(most) = format.pixels_per_byte() {
        ensure!(
            pixels / most <= bytes,
            Data,
            "{name} image: {bytes} bytes cannot hold {width}x{height} pixels; the file is truncated or its header lies"
        );
    }
    Ok(())
}

fn jpeg_headers<'a>(bytes: &'a [u8], options: &DecodeOptions) -> Result<(JpegDecoder<ZCursor<&'a [u8]>>, Header)> {
    // Strict: truncated data is an error instead of grey rows. The widest JPEG has 65535 columns.
    let settings = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(65_535)
        .set_max_height(65_535)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), settings);
    decoder.decode_headers().map_err(|cause| broken(Format::Jpeg, cause))?;
    let info = decoder.info().ok_or_else(|| broken(Format::Jpeg, "it has no frame header"))?;
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    check_size(Format::Jpeg, width, height, bytes.len(), options)?;
    let turn = decoder.exif().map_or(Orientation::UPRIGHT, |tags| orientation(tags));
    Ok((decoder, (width, height, turn)))
}

fn decode_jpeg(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<Orientation> {
    let (mut decoder, (width, height, turn)) = jpeg_headers(bytes, options)?;
    image.resize(width, height);
    decoder.decode_into(&mut image.data).map_err(|cause| broken(Format::Jpeg, cause))?;
    Ok(turn)
}

fn png_headers<'a>(bytes: &'a [u8], options: &DecodeOptions) -> Result<(png::Reader<Cursor<&'a [u8]>>, Header)> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.ignore_checksums(false);
    let info = decoder.read_header_info().map_err(|cause| broken(Format::Png, cause))?;
    let (width, height) = (info.width as usize, info.height as usize);
    check_size(Format::Png, width, height, bytes.len(), options)?;
    // The crate counts what it allocates itself: rows and ancillary chunks.
    decoder.set_limits(png::Limits { bytes: (64 << 20) + 32 * width });
    let reader = decoder.read_info().map_err(|cause| broken(Format::Png, cause))?;
    let tags = reader.info().exif_metadata.clone();
    let turn = tags.map_or(Orientation::UPRIGHT, |tags: Cow<'_, [u8]>| orientation(&tags));
    Ok((reader, (width, height, turn)))
}

fn decode_png(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<Orientation> {
    let (mut reader, (width, height, turn)) = png_headers(bytes, options)?;
    let (color, depth) = reader.output_color_type();
    ensure!(depth == png::BitDepth::Eight, Data, "PNG image: {depth:?} bits a channel after expansion");
    image.resize(width, height);
    if color == png::ColorType::Rgb {
        reader.next_frame(&mut image.data).map_err(|cause| broken(Format::Png, cause))?;
        return Ok(turn);
    }
    let size = reader.output_buffer_size().ok_or_else(|| broken(Format::Png, "its size does not fit memory"))?;
    let mut samples = vec![0; size];
    reader.next_frame(&mut samples).map_err(|cause| broken(Format::Png, cause))?;
    match color {
        png::ColorType::Grayscale => spread::<1>(&samples, &mut image.data),
        png::ColorType::GrayscaleAlpha => spread::<2>(&samples, &mut image.data),
        png::ColorType::Rgba => drop_alpha(&samples, &mut image.data),
        other => bail!(Data, "PNG image: colour type {other:?} after expansion"),
    }
    Ok(turn)
}

fn webp_headers<'a>(
    bytes: &'a [u8],
    options: &DecodeOptions,
) -> Result<(image_webp::WebPDecoder<Cursor<&'a [u8]>>, Header)> {
    let stated = bytes.get(4..8).map_or(0, |size| u32::from_le_bytes([size[0], size[1], size[2], size[3]]) as usize);
    ensure!(
        stated + 8 <= bytes.len(),
        Data,
        "WebP image: truncated, its header states {} bytes and there are {}",
        stated + 8,
        bytes.len()
    );
    check_webp_frames(&bytes[12..], bytes.len(), options)?;
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).map_err(|cause| broken(Format::WebP, cause))?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(Format::WebP, width, height, bytes.len(), options)?;
    decoder.set_memory_limit(options.max_pixels.saturating_mul(4));
    let tags = decoder.exif_metadata().map_err(|cause| broken(Format::WebP, cause))?;
    let turn = tags.map_or(Orientation::UPRIGHT, |tags| orientation(&tags));
    Ok((decoder, (width, height, turn)))
}

/// The frame inside an extended file states its own size, for which the decoder takes memory: it must keep the limit too.
fn check_webp_frames(mut chunks: &[u8], bytes: usize, options: &DecodeOptions) -> Result<()> {
    let read_u14 =
        |at: &[u8], shift: u32| ((u32::from_le_bytes([at[0], at[1], at[2], at[3]]) >> shift) & 0x3FFF) as usize;
    while chunks.len() >= 8 {
        let size = u32::from_le_bytes([chunks[4], chunks[5], chunks[6], chunks[7]]) as usize;
        let body = &chunks[8..];
        let body = &body[..size.min(body.len())];
        match &chunks[..4] {
            b"VP8 " if body.len() >= 10 => {
                let width = usize::from(u16::from_le_bytes([body[6], body[7]]) & 0x3FFF);
                let height = usize::from(u16::from_le_bytes([body[8], body[9]]) & 0x3FFF);
                check_size(Format::WebP, width, height, bytes, options)?;
            }
            b"VP8L" if body.len() >= 5 => {
                check_size(Format::WebP, read_u14(&body[1..], 0) + 1, read_u14(&body[1..], 14) + 1, bytes, options)?;
            }
            b"ANMF" if body.len() > 16 => check_webp_frames(&body[16..], bytes, options)?,
            _ => {}
        }
        let step = (8 + size).saturating_add(size % 2);
        chunks = chunks.get(step..).unwrap_or_default();
    }
    Ok(())
}

fn decode_webp(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<Orientation> {
    let (mut decoder, (width, height, turn)) = webp_headers(bytes, options)?;
    image.resize(width, height);
    if decoder.has_alpha() {
        let mut samples = vec![0; width * height * 4];
        decoder.read_image(&mut samples).map_err(|cause| broken(Format::WebP, cause))?;
        drop_alpha(&samples, &mut image.data);
    } else {
        decoder.read_image(&mut image.data).map_err(|cause| broken(Format::WebP, cause))?;
    }
    Ok(turn)
}

type GifDecoder<'a> = gif::Decoder<&'a [u8]>;

/// The first frame, announced and not yet read.
fn gif_headers<'a>(bytes: &'a [u8], options: &DecodeOptions) -> Result<(GifDecoder<'a>, Header)> {
    let mut settings = gif::DecodeOptions::new();
    settings.set_color_output(gif::ColorOutput::Indexed);
    let mut decoder = settings.read_info(bytes).map_err(|cause| broken(Format::Gif, cause))?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(|cause| broken(Format::Gif, cause))?;
    let frame = frame.ok_or_else(|| broken(Format::Gif, "it has no frame"))?;
    ensure!(frame.width > 0 && frame.height > 0, Data, "GIF image: its frame is {}x{}", frame.width, frame.height);
    // A frame that reaches beyond the screen widens it, as in Pillow.
    let width = screen.0.max(usize::from(frame.left) + usize::from(frame.width));
    let height = screen.1.max(usize::from(frame.top) + usize::from(frame.height));
    check_size(Format::Gif, width, height, bytes.len(), options)?;
    Ok((decoder, (width, height, Orientation::UPRIGHT)))
}

fn decode_gif(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<Orientation> {
    let (mut decoder, (width, height, turn)) = gif_headers(bytes, options)?;
    let mut indices = vec![0; decoder.buffer_size()];
    decoder.read_into_buffer(&mut indices).map_err(|cause| broken(Format::Gif, cause))?;
    let palette = decoder.palette().map_err(|cause| broken(Format::Gif, cause))?.to_vec();
    // Black where the palette is too short.
    let color = |index: u8| palette.chunks_exact(3).nth(usize::from(index)).map_or([0; 3], |c| [c[0], c[1], c[2]]);
    let colors: Vec<[u8; 3]> = (0..=255).map(color).collect();
    let frame = decoder.current_frame_info().ok_or_else(|| broken(Format::Gif, "its frame is not whole"))?;
    image.resize(width, height);
    for pixel in image.data.chunks_exact_mut(3) {
        pixel.copy_from_slice(&colors[usize::from(frame.transparent.unwrap_or(0))]);
    }
    let (left, top, columns) = (usize::from(frame.left), usize::from(frame.top), usize::from(frame.width));
    for (y, line) in indices.chunks_exact(columns).enumerate() {
        let start = 3 * ((top + y) * width + left);
        for (pixel, &index) in image.data[start..start + 3 * columns].chunks_exact_mut(3).zip(line) {
            pixel.copy_from_slice(&colors[usize::from(index)]);
        }
    }
    Ok(turn)
}

fn bmp_headers<'a>(bytes: &'a [u8], options: &DecodeOptions) -> Result<Bmp<'a>> {
    let bmp = Bmp::read(bytes)?;
    check_size(Format::Bmp, bmp.width, bmp.height, bytes.len(), options)?;
    Ok(bmp)
}

fn decode_bmp(bytes: &[u8], options: &DecodeOptions, image: &mut Image) -> Result<Orientation> {
    let bmp = bmp_headers(bytes, options)?;
    image.resize(bmp.width, bmp.height);
    bmp.decode(&mut image.data)?;
    Ok(Orientation::UPRIGHT)
}

fn drop_alpha(samples: &[u8], rgb: &mut [u8]) {
    for (pixel, sample) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(4)) {
        pixel.copy_from_slice(&sample[..3]);
    }
}

/// Grey is the first of `CHANNELS` samples of a pixel.
fn spread<const CHANNELS: usize>(samples: &[u8], rgb: &mut [u8]) {
    for (pixel, sample) in rgb.chunks_exact_mut(3).zip(samples.chunks_exact(CHANNELS)) {
        pixel.fill(sample[0]);
    }
}
