// The factors of a convolution as an implicit product for `product.wgsl`: images lie channels last, filters as
// [out, vertical, horizontal, in of a group] or [vertical, horizontal, out, in of a group]. Before this text stand, as constants:
// KERNEL_Y/X, STRIDE_Y/X, PAD_Y/X, DILATION_Y/X, IN (channels of a group of the image), OUT (of the result), IMAGE_Y/X and
// RESULT_Y/X (heights and widths).
//
// p: 0 rows, 1 columns, 2 inner, 3 offset of a, 4 of b, 5 of out, 6 of bias, 7 channels of the image, 8 of the result,
// 9 parts, 10 length of a part, 11 first group, 12 elements of a part's result.

var<private> group_number: u32;
var<private> part_number: u32; // whatever `cut` makes of it, which says which part of the inner dimension is added up

fn begin(z: u32) {
    part_number = z % p(9u);
    group_number = z / p(9u) + p(11u);
    cut();
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
