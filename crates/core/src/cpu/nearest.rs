//! The few rows of a set that lie nearest to each query: products and the choice among them in one pass over the set, a block
//! at a time in the caches, so that the matrix of all distances is never in memory.

use super::dispatch::{Kernel, dispatch, isa};
use super::gemm::{dot, pack_panel};
use super::math::nan_last;
use super::scratch::with_scratch;
use super::threads::{SharedPointer, num_threads, parallel_for, parallel_ranges};
use super::tile::{Output, Tile};
use super::vector::Real;
use std::cmp::Ordering;
use std::ops::Range;

/// Queries that a task compares with each block of rows: 512 wide they fill half of a second cache.
const QUERIES: usize = 256;
/// Rows of the set in a block: whole tiles of every instruction set.
const ROWS: usize = 96;
/// Numbers of a row that are summed in registers: a panel of the queries that long stays in the first cache.
const DEPTH: usize = 192;
/// Queries whose limits are compared at a time.
const LANES: usize = 16;

/// A row that was found: ordered by distance, then by its place in the set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour<T> {
    /// |q − s|², at least 0.
    pub squared: T,
    pub index: usize,
}

impl<T: Real> Ord for Neighbour<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        nan_last(self.squared, other.squared).then(self.index.cmp(&other.index))
    }
}

impl<T: Real> PartialOrd for Neighbour<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Real> Eq for Neighbour<T> {}

/// For each query [queries, dim] the `k` nearest rows of the set [rows, dim], nearest first, by |q|² + (|s|² − 2 q·s); a
/// NaN is farther than every number. The same for every number of threads.
///
/// # Panics
/// If a slice does not hold whole rows, or `k` is more than the set has.
pub fn nearest<T: Real>(queries: &[T], set: &[T], dim: usize, k: usize) -> Vec<Vec<Neighbour<T>>> {
    search(T::tile(isa()), queries, set, dim, k)
}

/// [`nearest`] with a given tile.
fn search<T: Real>(tile: &'static Tile<T>, queries: &[T], set: &[T], dim: usize, k: usize) -> Vec<Vec<Neighbour<T>>> {
    let [count, others] = [queries, set].map(|rows| {
        assert!(dim > 0 && rows.len().is_multiple_of(dim), "{} numbers are no rows of {dim}", rows.len());
        rows.len() / dim
    });
    assert!(k <= others, "{k} of {others} rows");
    if k == 0 {
        return vec![Vec::new(); count];
    }
    let search = Search { tile, queries, set, dim, k };
    // Few queries are looked for in several parts of the set at once, in no more than there are threads: each part collects
    // its own k. However the set is cut, the best of all parts are the same.
    let groups = count.div_ceil(QUERIES);
    let parts = num_threads().div_ceil(groups.max(1)).min(others.div_ceil(ROWS));
    let mut found: Vec<Vec<Neighbour<T>>> = vec![Vec::new(); count * parts];
    let shared = SharedPointer::new(&mut found);
    parallel_for(groups * parts, |task| {
        let (group, part) = (task / parts, task % parts);
        let chosen = group * QUERIES..((group + 1) * QUERIES).min(count);
        let rows = others * part / parts..others * (part + 1) / parts;
        let best = search.run(chosen.clone(), rows);
        // SAFETY: a task has its own part of its own queries.
        unsafe { shared.slice(part * count + chosen.start..part * count + chosen.end) }.clone_from_slice(&best);
    });
    let mut nearest = vec![Vec::new(); count];
    let shared = SharedPointer::new(&mut nearest);
    parallel_ranges(count, 32, |range| {
        for query in range {
            let row = &queries[query * dim..(query + 1) * dim];
            let mut best: Vec<_> = (0..parts).flat_map(|part| found[part * count + query].iter().copied()).collect();
            if parts > 1 {
                best = first(best, k);
            }
            let own = dot(row, row);
            for Neighbour { squared, .. } in &mut best {
                let sum = *squared + own;
                *squared = if sum < T::ZERO { T::ZERO } else { sum };
            }
            // SAFETY: each query is visited once.
            unsafe { shared.slice(query..query + 1)[0] = best };
        }
    });
    nearest
}

struct Search<'a, T: 'static> {
    tile: &'static Tile<T>,
    queries: &'a [T],
    set: &'a [T],
    dim: usize,
    k: usize,
}

impl<T: Real> Search<'_, T> {
    /// The best among `rows` of the set for each of `chosen`, in order, without the queries' own |q|², which change no order.
    fn run(&self, chosen: Range<usize>, rows: Range<usize>) -> Vec<Vec<Neighbour<T>>> {
        let Search { tile, queries, set, dim, k } = *self;
        let width = chosen.len().next_multiple_of(tile.columns.max(LANES));
        let mut best = Best::new(chosen.len(), width, k);
        with_scratch(width * (dim + ROWS), |scratch: &mut [T]| {
            let (panels, products) = scratch.split_at_mut(width * dim);
            for (panel, to) in panels.chunks_exact_mut(tile.columns * dim).enumerate() {
                let at = (chosen.start + panel * tile.columns).min(chosen.end);
                let lines = tile.columns.min(chosen.end - at);
                // SAFETY: the lines are rows of the queries.
                unsafe { pack_panel(queries[at * dim..].as_ptr(), dim, 1, lines, dim, tile.columns, to) };
            }
            for start in rows.clone().step_by(ROWS) {
                let block = &set[start * dim..rows.end.min(start + ROWS) * dim];
                let mut norms = [T::ZERO; ROWS];
                for (norm, row) in norms.iter_mut().zip(block.chunks_exact(dim)) {
                    *norm = dot(row, row);
                }
                self.multiply(block, panels, products, width);
                let count = block.len() / dim;
                dispatch(Choose { best: &mut best, products, norms: &norms[..count], start });
            }
        });
        best.candidates.into_iter().map(|candidates| first(candidates, k)).collect()
    }

    /// −2 times the products of a block's rows with the packed queries: [rows, width].
    fn multiply(&self, block: &[T], panels: &[T], products: &mut [T], width: usize) {
        let Search { tile, dim, .. } = *self;
        let rows = block.len() / dim;
        let step = dim.div_ceil(dim.div_ceil(DEPTH));
        with_scratch(rows.next_multiple_of(tile.rows) * step, |packed: &mut [T]| {
            for from in (0..dim).step_by(step) {
                let depth = step.min(dim - from);
                for (row, to) in (0..rows).step_by(tile.rows).zip(packed.chunks_exact_mut(tile.rows * depth)) {
                    let lines = tile.rows.min(rows - row);
                    // SAFETY: the lines are rows of the block.
                    unsafe { pack_panel(block[row * dim + from..].as_ptr(), dim, 1, lines, depth, tile.rows, to) };
                }
                for (column, panel) in (0..width).step_by(tile.columns).zip(panels.chunks_exact(tile.columns * dim)) {
                    for (row, lines) in (0..rows).step_by(tile.rows).zip(packed.chunks_exact(tile.rows * depth)) {
                        let out = Output {
                            c: products[row * width + column..].as_mut_ptr(),
                            stride: width,
                            rows: tile.rows.min(rows - row),
                            columns: tile.columns,
                            alpha: T::from_f64(-2.0),
                            accumulate: from > 0,
                            bias: std::ptr::null(),
                        };
                        let panel = panel[from * tile.columns..].as_ptr();
                        // SAFETY: both panels hold `depth` steps and the tile lies in the products; the tile is that of
                        // an instruction set this machine has.
                        unsafe { (tile.packed)(depth, lines.as_ptr(), 0, panel, tile.columns, &out) };
                    }
                }
            }
        });
    }
}

/// The first k in order.
fn first<T: Real>(mut of: Vec<Neighbour<T>>, k: usize) -> Vec<Neighbour<T>> {
    of.sort_unstable();
    of.truncate(k);
    of
}

/// The best so far of a group of queries.
struct Best<T> {
    k: usize,
    /// The best k of a query and some that came after them.
    candidates: Vec<Vec<Neighbour<T>>>,
    /// What a row must be below to become one: NaN before there are k, and what nothing is below where no query is.
    limits: Vec<T>,
}

impl<T: Real> Best<T> {
    fn new(queries: usize, width: usize, k: usize) -> Self {
        let mut limits = vec![T::from_f64(f64::NEG_INFINITY); width];
        limits[..queries].fill(T::from_f64(f64::NAN));
        Best { k, candidates: (0..queries).map(|_| Vec::with_capacity(room(k))).collect(), limits }
    }

    fn add(&mut self, query: usize, candidate: Neighbour<T>) {
        let Some(candidates) = self.candidates.get_mut(query) else { return };
        candidates.push(candidate);
        if candidates.len() == room(self.k) {
            let (_, last, _) = candidates.select_nth_unstable(self.k - 1);
            self.limits[query] = last.squared;
            candidates.truncate(self.k);
        }
    }
}

/// How many candidates there may be: choosing among them now and then is cheaper than keeping them in order.
fn room(k: usize) -> usize {
    k + k.max(16)
}

/// Goes through the products of a block, row by row: few of them are below a limit.
struct Choose<'a, T> {
    best: &'a mut Best<T>,
    products: &'a [T],
    norms: &'a [T],
    /// The place of the first row in the set.
    start: usize,
}

impl<T: Real> Kernel for Choose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Choose { best, products, norms, start } = self;
        let width = best.limits.len();
        for (row, (&norm, line)) in norms.iter().zip(products.chunks_exact(width)).enumerate() {
            for (group, values) in line.as_chunks::<LANES>().0.iter().enumerate() {
                let limits = &best.limits.as_chunks::<LANES>().0[group];
                // Not "below": a NaN on either side has to be looked at too.
                let mut any = false;
                for lane in 0..LANES {
                    any |= !(values[lane] + norm >= limits[lane]);
                }
                if any {
                    for lane in 0..LANES {
                        let squared = values[lane] + norm;
                        if !(squared >= best.limits[group * LANES + lane]) {
                            best.add(group * LANES + lane, Neighbour { squared, index: start + row });
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::{Random, with_threads};
    use super::super::dispatch::available_isas;
    use super::super::tile::{Tiled, wide_tile};
    use super::*;

    /// All distances by plain loops in float64, sorted.
    fn plain<T: Real>(queries: &[T], set: &[T], dim: usize, k: usize) -> Vec<Vec<Neighbour<f64>>> {
        let rows = |of: &[T]| of.chunks(dim).map(|r| r.iter().map(|v| v.to_f64()).collect()).collect::<Vec<Vec<_>>>();
        let set = rows(set);
        let distance = |q: &[f64], s: &[f64]| q.iter().zip(s).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let all = |q: Vec<f64>| {
            let row = |(index, s): (usize, &Vec<f64>)| Neighbour { squared: distance(&q, s), index };
            let mut all: Vec<_> = set.iter().enumerate().map(row).collect();
            all.sort();
            all.truncate(k);
            all
        };
        rows(queries).into_iter().map(all).collect()
    }

    /// Whole numbers are exact in any order of sums, and many distances tie.
    fn check<T: Real>(tile: &'static Tile<T>, [queries, others, dim, k]: [usize; 4], random: &mut Random) {
        let mut whole = |rows: usize| (0..rows * dim).map(|_| T::from_f64(random.below(4) as f64)).collect::<Vec<T>>();
        let (queries, set) = (whole(queries), whole(others));
        let want = plain(&queries, &set, dim, k);
        for threads in [1, 2, 5] {
            let found = with_threads(threads, || search(tile, &queries, &set, dim, k));
            let wide = |n: &Neighbour<T>| Neighbour { squared: n.squared.to_f64(), index: n.index };
            let got: Vec<Vec<_>> = found.iter().map(|row| row.iter().map(wide).collect()).collect();
            assert!(got == want, "{k} of {others} rows of {dim}, {threads} threads");
        }
    }

    #[test]
    fn the_nearest_and_their_order_are_those_of_plain_loops_also_where_they_tie() {
        let mut random = Random(3);
        let mut sizes =
            vec![[0, 3, 2, 1], [3, 4, 2, 0], [1, 1, 1, 1], [5, 5, 3, 5], [130, 97, 7, 3], [3, 700, 200, 20]];
        sizes.extend([[129, 193, 33, 193], [260, 300, 5, 10], [17, 95, 400, 70]]);
        sizes.extend((0..6).map(|_| {
            let others = 1 + random.below(400);
            [1 + random.below(40), others, 1 + random.below(40), 1 + random.below(others)]
        }));
        for tile in available_isas().iter().map(|&isa| f32::tile(isa)).chain([wide_tile()]) {
            sizes.iter().for_each(|&sizes| check(tile, sizes, &mut random));
        }
        available_isas().iter().for_each(|&isa| check(f64::tile(isa), [20, 200, 210, 9], &mut random));
    }

    #[test]
    fn distances_are_those_of_plain_loops_whatever_their_size() {
        let mut random = Random(5);
        let (queries, set): (Vec<f32>, Vec<f32>) = (random.numbers(40 * 100), random.numbers(500 * 100));
        let found = nearest(&queries, &set, 100, 6);
        for (found, want) in found.iter().zip(plain(&queries, &set, 100, 6)) {
            for (found, want) in found.iter().zip(want) {
                assert!((f64::from(found.squared) - want.squared).abs() < 1e-4 * want.squared, "{found:?} {want:?}");
            }
        }
        // A query among the rows has distance 0, never less.
        let own = nearest(&queries, &queries, 100, 1);
        assert!(own.iter().enumerate().all(|(i, n)| n[0].index == i && (0.0..1e-4).contains(&n[0].squared)));
    }

    #[test]
    fn a_nan_is_farther_than_every_number_and_ties_with_its_like() {
        let infinite = f32::INFINITY;
        let set = [f32::NAN, 1.0, infinite, f32::NAN, 3.0];
        let indices = |query: f32, k| nearest(&[query], &set, 1, k)[0].iter().map(|n| n.index).collect::<Vec<_>>();
        // ∞ − ∞ on the way is a NaN as well.
        assert_eq!(indices(1.0, 5), [1, 4, 0, 2, 3]);
        assert_eq!(indices(1.0, 3), [1, 4, 0]);
        assert_eq!(indices(f32::NAN, 5), [0, 1, 2, 3, 4]);
        assert!(nearest(&[1.0], &set, 1, 3)[0][2].squared.is_nan());
    }
}
