/** Pictures as data URIs: encoded files are passed through, raw pixels become PNG. Resizes nothing. */
import { encodePng, type ImageSource } from 'stable-pretraining'

/** A `data:` URI of an image as the data set holds it. */
export function dataUri(image: ImageSource): string {
  if ('encoded' in image)
    return `data:${mediaType(image.encoded)};base64,${Buffer.from(image.encoded).toString('base64')}`
  const { pixels, offset, width, height, channels } = image
  const bytes = encodePng(pixels.subarray(offset, offset + width * height * channels), width, height, channels)
  return `data:image/png;base64,${Buffer.from(bytes).toString('base64')}`
}

/** From the first bytes of the file, never from its name. */
function mediaType(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return 'image/jpeg'
  if (bytes[0] === 0x52 && bytes[8] === 0x57) return 'image/webp'
  return 'image/png'
}
