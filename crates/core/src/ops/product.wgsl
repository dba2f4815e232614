// A product of two matrices, whatever they are made of: a tile of the result a workgroup, 4 × 4 of its sums an
// invocation, both factors by way of workgroup memory. Behind this text stand the loops (made for the tile's size), before
// it TILE, and the functions of whoever multiplies:
//   begin(z)                              what is the same for the whole workgroup: which batch, which part
//   row_a(m), inner_a(k), value_a(r, k)   the left factor at [m, k], in three steps so that each is done as rarely as it can
//   column_b(n), inner_b(k), value_b(c, k)  the right factor at [k, n]; 0 outside
//   store(m, n, sum)
// p(0), p(1): rows and columns; first_inner, end_inner: where the inner dimension begins and ends in this workgroup.

const DEPTH = 16u;
const SIDE = TILE / 4u;
const THREADS = SIDE * SIDE;

var<private> first_inner: u32;
var<private> end_inner: u32;
var<workgroup> tile_a: array<vec4<f32>, DEPTH * SIDE>;
var<workgroup> tile_b: array<vec4<f32>, DEPTH * SIDE>;

// The part of an inner dimension `count` long that is number `part`, of `length` each.
fn set_part(part: u32, length: u32, count: u32) {
    first_inner = part * length;
    end_inner = min(first_inner + length, count);
}
