//! Image files at the border: decoding off the event loop, sizes, PNG writing.

use super::Result;
use crate::error::Error;
use crate::image::{DecodeOptions, Image, decode, encode_png, image_size};
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi::{Env, Task};
use napi_derive::napi;

/// An image as bytes: red, green, blue, interleaved, from the top.
#[napi(object)]
pub struct DecodedImage {
    pub width: u32,
    pub height: u32,
    pub data: Uint8Array,
}

pub struct Decode(Uint8Array);

impl Task for Decode {
    type Output = std::result::Result<Image, Error>;
    type JsValue = DecodedImage;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(decode(&self.0, &DecodeOptions::default()))
    }

    fn resolve(&mut self, _: Env, outcome: Self::Output) -> napi::Result<DecodedImage> {
        let image = outcome.map_err(|error| napi::Error::from_reason(error.to_string()))?;
        Ok(DecodedImage { width: image.width as u32, height: image.height as u32, data: Uint8Array::new(image.data) })
    }
}

/// The pixels of a JPEG, PNG, WebP, GIF or BMP file, upright, as RGB. Rejects with a message that begins with ERR_DATA.
#[napi(ts_return_type = "Promise<DecodedImage>", js_name = "decodeImage")]
pub fn js_decode_image(bytes: Uint8Array) -> AsyncTask<Decode> {
    AsyncTask::new(Decode(bytes))
}

/// [width, height] from the header of a JPEG, PNG, WebP, GIF or BMP file, upright. ERR_DATA where there is none.
#[napi(js_name = "imageSize")]
pub fn js_image_size(bytes: Uint8Array) -> Result<Vec<u32>> {
    let (width, height) = image_size(&bytes, &DecodeOptions::default())?;
    Ok(vec![width as u32, height as u32])
}

/// A PNG file of 1 (grey), 3 (RGB) or 4 (RGBA) channels, 8 bits each, interleaved.
#[napi(js_name = "encodePng")]
pub fn js_encode_png(data: Uint8Array, width: u32, height: u32, channels: u32) -> Result<Uint8Array> {
    Ok(Uint8Array::new(encode_png(&data, width as usize, height as usize, channels as usize)?))
}
