// The factors of a convolution as an implicit product for `product.wgsl`: images lie channels last, filters as
// [out, vertical, horizontal, in of a group] or [vertical, horizontal, out, in of a group]. Before this text stand, as constants:
// KERNEL_X, STRIDE_Y/X, PAD_Y/X, DILATION_Y/X, IN (channels of a group of the image), OUT (of the result).
//
// p: 0 rows, 1 columns, 2 inner, 3 offset of a, 4 of b, 5 of out, 6 of bias, 7 height, 8 width of the image, 9 channels of
// the image, 10 height, 11 width, 12 channels of the result, 13 parts, 14 length of a part, 15 first group, 16 elements of
// a part's result.

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

var<private> group_number: u32;
var<private> part_number: u32;

fn begin(z: u32) {
    part_number = z % p(13u);
    group_number = z / p(13u) + p(15u);
    set_part(part_number, p(14u), p(2u));
}

// Pixel i of images of that height and width: (image, y, x).
fn pixel(i: u32, height: u32, width: u32) -> vec3<u32> {
    let line = i / width;
    return vec3<u32>(line / height, line % height, i % width);
}

// Which tap of the filter, and which of the channels behind it: (down, right, channel), in pixels.
fn tap(k: u32, channels: u32) -> vec3<i32> {
    let t = k / channels;
    return vec3<i32>(i32(t / KERNEL_X * DILATION_Y), i32(t % KERNEL_X * DILATION_X), i32(k % channels));
}
