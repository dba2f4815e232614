// A product of two matrices, whatever they are made of. Behind this text stand the loops, in one of two forms; before it
// the buffers a, b and out, and the functions of whoever multiplies:
//   begin(z)                              what is the same for the whole workgroup: which batch, which part
//   row_a(m), inner_a(k), value_a(r, k)   the left factor at [m, k], in three steps so that each is done as rarely as it can
//   column_b(n), inner_b(k), value_b(c, k)  the right factor at [k, n]; 0 outside
//   place(m, n), finished(n, sum)         where an element of the result lies, and what becomes of its sum
// A factor's value is of type A or B, read by at_a or at_b: one element or, where the form says so, four that lie side by side.
// p(0), p(1): rows and columns; first_inner, end_inner: where the inner dimension begins and ends in this workgroup.

var<private> first_inner: u32;
var<private> end_inner: u32;

// The part of an inner dimension `count` long that is number `part`, of `length` each.
fn set_part(part: u32, length: u32, count: u32) {
    first_inner = part * length;
    end_inner = min(first_inner + length, count);
}

// Where the tile of a workgroup begins, tiles of that size.
fn corner(group: vec3<u32>, groups: vec3<u32>, rows: u32, columns: u32) -> vec2<u32> {
    let across = (p(1u) + columns - 1u) / columns;
    let number = group.y * groups.x + group.x;
    return vec2<u32>(number / across * rows, number % across * columns);
}
