// A tensor of random numbers. Parameters: count, first element of the output, words of the first block before the first that is
// used, seed, stream and number of the first block (two words each).

@group(0) @binding(1) var<storage, read_write> out: array<f32>;

fn words(number: u32) -> vec4<u32> {
    let block = long_add(vec2<u32>(p(7u), p(8u)), vec2<u32>(number, 0u));
    return philox(vec2<u32>(p(3u), p(4u)), vec2<u32>(p(5u), p(6u)), block);
}
