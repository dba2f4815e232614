//! Attention on a GPU, block by block: 32 queries with 32 keys at a time in a workgroup, the softmax carried along, no matrix
//! of all scores. One skeleton makes the result and the three gradients; nothing is added up by more than one workgroup. Its
//! text is one kernel's, hence one file.

use crate::cpu::attention::Dropout;
use crate::dtype::DType;
use crate::error::Result;
use crate::ops::elementwise_gpu::MATH;
use crate::ops::kernel::{self, Kernel, MAIN, gpu_of};
use crate::ops::movement_gpu;
use crate::ops::reduce_gpu::{Beside, Fold, fold_beside};
use crate::shape::{Dims, Layout};
use crate::tensor::Tensor;
use std::fmt::Write;

/// What is computed; tensors with the same leading dimensions.
pub struct Attention<'a> {
    pub q: &'a Tensor,
    pub k: &'a Tensor,
    pub v: &'a Tensor,
    /// And its layout as [.., queries, keys].
    pub mask: Option<(&'a Tensor, Layout)>,
    pub causal: bool,
    pub scale: f64,
    pub dropout: Option<Dropout>,
}

/// What a launch makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The result and ln Σ e^score of each query.
    Forward,
    Query,
    Key,
    Value,
}

impl Part {
    /// Whether the workgroup's own rows are queries, and it goes through the keys; or the other way round.
    fn has_queries(self) -> bool {
        matches!(self, Part::Forward | Part::Query)
    }

    /// Whether gradients of scores are needed: products of v with the gradient of the result.
    fn has_slopes(self) -> bool {
        matches!(self, Part::Query | Part::Key)
    }

    /// What the weights are multiplied with.
    fn factor(self) -> char {
        match self {
            Part::Forward => 'v',
            Part::Query => 'k',
            Part::Key => 'q',
            Part::Value => 'g',
        }
    }
}

/// Rows and columns of a block.
const BLOCK: usize = 32;
/// Columns of a result are made this many at a time; as many chunks fit into a workgroup's registers.
const CHUNK: usize = 32;
const CHUNKS: usize = 4;

const PRODUCTS: Fold = Fold { name: "products", value: "x * y", identity: "0.0", combine: "a + b" };

impl Attention<'_> {
    /// The result, in a fresh tensor of that layout, and ln Σ e^score of each query [batch · queries].
    pub fn forward(&self, target: Layout) -> Result<(Tensor, Tensor)> {
        let gpu = gpu_of(self.q)?;
        let [queries, values] = *target.shape.last_chunk().expect("two dimensions");
        let batch: usize = target.shape[..target.ndim() - 2].iter().product();
        let out = kernel::output(&gpu, target, DType::F32)?;
        if values == 0 {
            return Ok((out, Tensor::full_on(&self.q.device()?, &[batch * queries], 0.0, DType::F32)?));
        }
        let log_sums = kernel::output_of(&gpu, &[batch * queries], DType::F32)?;
        self.launch(Part::Forward, None, &log_sums, &out)?;
        Ok((out, log_sums))
    }

    /// Gradients of query, key and value, row-major, where they are needed.
    pub fn backward(
        &self,
        result: &Tensor,
        gradient: &Tensor,
        log_sums: &Tensor,
        needs: [bool; 3],
    ) -> Result<[Option<Tensor>; 3]> {
        let gpu = gpu_of(self.q)?;
        // ln Σ e^score of all queries, and behind them Σ result · gradient.
        let products =
            fold_beside(&PRODUCTS, result, Beside { other: Some(gradient), vector: None }, &[result.ndim() - 1])?;
        let products =
            products.alias(Layout { offset: products.layout().offset, ..Layout::contiguous(&[log_sums.numel()]) })?;
        let statistics = movement_gpu::cat(&[log_sums, &products], 0, Layout::contiguous(&[2 * log_sums.numel()]))?;
        let mut gradients = [None, None, None];
        for (i, (input, part)) in
            [(self.q, Part::Query), (self.k, Part::Key), (self.v, Part::Value)].into_iter().enumerate()
        {
            if !needs[i] {
                continue;
            }
            let values = self.v.shape()[self.v.ndim() - 1];
            gradients[i] = Some(if values == 0 {
                Tensor::full_on(&self.q.device()?, input.shape(), 0.0, DType::F32)?
            } else {
                let out = kernel::output_of(&gpu, input.shape(), DType::F32)?;
                self.launch(part, Some(gradient), &statistics, &out)?;
                out
            });
        }
        Ok(gradients)
    }

    /// p: 0 rows, 1 columns, 2 width of scores, 3 of values, 4 of the result, 5 its groups of columns, 6 batches, 7 scale, then
    /// of the dropout 8 the factor of what is kept, 9 the threshold, 10 to 15 seed, stream and position; 16 to 22 where q, k,
    /// v, gradient, mask, statistics and result begin, 23 to 34 their strides along rows and columns (of the statistics none),
    /// 35 on sizes of the leading dimensions, then their strides in q, k, v, gradient, mask and result.
    fn launch(&self, part: Part, gradient: Option<&Tensor>, statistics: &Tensor, out: &Tensor) -> Result<()> {
        if out.numel() == 0 {
            return Ok(());
        }
        let gpu = gpu_of(self.q)?;
        let lead = self.q.ndim() - 2;
        let [queries, width] = *self.q.shape().last_chunk().expect("two dimensions");
        let [keys, values] = *self.v.shape().last_chunk().expect("two dimensions");
        let [rows, columns] = if part.has_queries() { [queries, keys] } else { [keys, queries] };
        let made = out.shape()[lead + 1];
        let chunks = made.div_ceil(CHUNK).min(CHUNKS);
        let groups = made.div_ceil(chunks * CHUNK);
        let batches: usize = out.shape()[..lead].iter().product();
        let mut launch = Kernel::new(&gpu);
        let mut at = vec![launch.read(self.q)?, launch.read(self.k)?, launch.read(self.v)?];
        at.push(gradient.map_or(Ok(0), |gradient| launch.read(gradient))?);
        at.push(self.mask.as_ref().map_or(Ok(0), |(mask, layout)| launch.bind(mask, layout, false))?);
        at.push(if part == Part::Forward { launch.write(statistics)? } else { launch.read(statistics)? });
        at.push(launch.write(out)?);
        launch.set_sizes(&[rows, columns, width, values, made, groups, batches]);
        let dropout = self.dropout.unwrap_or(Dropout { p: 0.0, seed: 0, stream: 0, position: 0 });
        launch.set_floats(&[self.scale as f32, (1.0 / (1.0 - dropout.p)) as f32]);
        // Draws are multiples of 2⁻²⁴: below p are those whose number is below this.
        launch.set(&[(dropout.p * 16_777_216.0).ceil() as u32]);
        for word in [dropout.seed, dropout.stream, dropout.position] {
            launch.set(&[word as u32, (word >> 32) as u32]);
        }
        launch.set(&at);
        let none = Layout { shape: Dims::from_slice(self.q.shape()), strides: Dims::from_elem(0, lead + 2), offset: 0 };
        let layouts = [
            self.q.layout(),
            self.k.layout(),
            self.v.layout(),
            gradient.map_or(&none, |gradient| gradient.layout()),
            self.mask.as_ref().map_or(&none, |(_, layout)| layout),
            out.layout(),
        ];
        for layout in layouts {
            launch.set_sizes(&layout.strides[lead..]);
        }
        let leading: Vec<usize> = (0..lead).collect();
        let mut leads: Vec<Layout> = layouts.iter().map(|layout| layout.permute(&leading)).collect();
        leads.iter_mut().for_each(|layout| layout.shape = Dims::from_slice(&self.q.shape()[..lead]));
        Layout::collapse(&mut leads);
        let axes = leads[0].ndim();
        crate::ensure!(axes <= 4, Unsupported, "{}: {axes} leading dimensions; GPUs take 4", crate::op::running());
        launch.set_sizes(&leads[0].shape);
        leads.iter().for_each(|layout| launch.set_sizes(&layout.strides));
        let mask = self.mask.as_ref().map(|(mask, _)| mask.dtype() == DType::F32);
        let text = Text { part, chunks, axes, mask, causal: self.causal, drops: self.dropout.is_some() };
        let tiles = rows.div_ceil(BLOCK);
        launch.run(&format!("attention {text:?}"), &|| text.wgsl(), gpu.workgroups(batches * tiles * groups, 1)?)
    }
}

/// What the text of a kernel depends on.
#[derive(Debug, Clone, Copy)]
struct Text {
    part: Part,
    chunks: usize,
    axes: usize,
    /// Whether it is added to the scores (float) or hides keys (bytes).
    mask: Option<bool>,
    causal: bool,
    drops: bool,
}

impl Text {
    fn wgsl(self) -> String {
        let Text { part, chunks, axes, mask, causal, drops } = self;
        let forward = part == Part::Forward;
        let mut text = format!("{MATH}\n{}\n", include_str!("attention.wgsl"));
        let mut binding = 0;
        let mut bind = |name: &str, there: bool, access: &str, kind: &str| {
            if !there {
                return String::new();
            }
            binding += 1;
            format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{kind}>;\n")
        };
        for (name, there) in [("q", true), ("k", true), ("v", true), ("g", !forward)] {
            text += &bind(name, there, "read", "f32");
        }
        text += &bind("mask", mask.is_some(), "read", if mask == Some(true) { "f32" } else { "u32" });
        text += &bind("statistics", true, if forward { "read_write" } else { "read" }, "f32");
        text += &bind("out", true, "read_write", "f32");
        let (queries, keys) = if part.has_queries() { ("p(0u)", "p(1u)") } else { ("p(1u)", "p(0u)") };
        // Elements of the matrices, 0 outside.
        for (n, (name, rows, width)) in
            [('q', queries, 2), ('k', keys, 2), ('v', keys, 3), ('g', queries, 3)].into_iter().enumerate()
        {
            if name == 'g' && forward {
                continue;
            }
            let (row, column) = (23 + 2 * n, 24 + 2 * n);
            writeln!(
                text,
                "fn at_{name}(i: u32, e: u32) -> f32 {{
if (i < {rows} && e < p({width}u)) {{ return {name}[starts.{name} + i * p({row}u) + e * p({column}u)]; }}
return 0.0;
}}"
            )
            .expect("text");
        }
        let masked = match mask {
            None => "",
            Some(true) => "score += mask[starts.mask + i * p(31u) + j * p(32u)];",
            Some(false) => {
                "let place = starts.mask + i * p(31u) + j * p(32u);
if (((mask[place / 4u] >> (place % 4u * 8u)) & 0xffu) == 0u) { return -infinity(); }"
            }
        };
        let later = if causal { " || j > i" } else { "" };
        write!(
            text,
            "// The score of query i and key j; −∞ where it does not see the key.
fn score_of(i: u32, j: u32, product: f32) -> f32 {{
if (i >= {queries} || j >= {keys}{later}) {{ return -infinity(); }}
var score = product * pf(7u);
{masked}
return score;
}}
fn starts_of(batch: u32) -> Starts {{
var rest = batch;
var s = Starts(p(16u), p(17u), p(18u), p(19u), p(20u), p(22u));
"
        )
        .expect("text");
        for d in (0..axes).rev() {
            let size = 35 + d;
            writeln!(text, "{{\nlet i = rest % p({size}u);\nrest = rest / p({size}u);").expect("text");
            for (n, name) in ["q", "k", "v", "g", "mask", "out"].iter().enumerate() {
                writeln!(text, "s.{name} += i * p({}u);", 35 + (1 + n) * axes + d).expect("text");
            }
            text += "}\n";
        }
        text += "return s;\n}\n";
        write!(
            text,
            "@compute @workgroup_size(64)
{MAIN} {{
let number = group.y * groups.x + group.x;
let blocks = (p(0u) + 31u) / 32u;
let inside = number < p(6u) * blocks * p(5u);
let batch = min(number / p(5u) / blocks, p(6u) - 1u);
let row = number / p(5u) % blocks * 32u;
let made = number % p(5u) * {}u;
starts = starts_of(batch);
let tx = local % 8u;
let ty = local / 8u;
",
            chunks * CHUNK
        )
        .expect("text");
        for n in 0..chunks {
            (0..4).for_each(|r| text += &format!("var made{n}{r} = vec4<f32>(0.0);\n"));
        }
        if forward {
            text += "var top = vec4<f32>(-infinity());\nvar total = vec4<f32>(0.0);\n";
        }
        let (first, end) = match (causal, part.has_queries()) {
            (true, true) => ("0u", "min(p(1u), min(row + 32u, p(0u)))"),
            // Queries before the first of these keys see none of them.
            (true, false) => ("row", "p(1u)"),
            _ => ("0u", "p(1u)"),
        };
        writeln!(text, "for (var column = {first}; column < {end}; column += 32u) {{").expect("text");
        let [mine, other] = if part.has_queries() { ['q', 'k'] } else { ['k', 'q'] };
        text += &block_product("score", mine, other, 2);
        if part.has_slopes() {
            let [mine, other] = if part.has_queries() { ['g', 'v'] } else { ['v', 'g'] };
            text += &block_product("slope", mine, other, 3);
        }
        for r in 0..4 {
            for lane in 0..4 {
                let (own, across) = (format!("row + ty * 4u + {r}u"), format!("column + tx * 4u + {lane}u"));
                let (i, j) = if part.has_queries() { (own, across) } else { (across, own) };
                if forward {
                    writeln!(text, "score{r}[{lane}] = score_of({i}, {j}, score{r}[{lane}]);").expect("text");
                } else {
                    let slope = if part.has_slopes() { format!("slope{r}[{lane}]") } else { "1.0".to_string() };
                    writeln!(text, "score{r}[{lane}] = weight_of(batch, {i}, {j}, score{r}[{lane}], {slope});")
                        .expect("text");
                }
            }
        }
        if forward {
            text += &carry_softmax(chunks, drops);
        }
        for lane in 0..4 {
            let four: Vec<String> = (0..4).map(|r| format!("score{r}[{lane}]")).collect();
            writeln!(text, "weights[(tx * 4u + {lane}u) * 8u + ty] = vec4<f32>({});", four.join(", ")).expect("text");
        }
        for n in 0..chunks {
            text += &chunk_product(n, part.factor());
        }
        text += "}\n";
        if forward {
            text += FINISH;
        }
        for n in 0..chunks {
            for r in 0..4 {
                let shared = if forward { format!(" * share[{r}]") } else { String::new() };
                writeln!(
                    text,
                    "for (var c = 0u; inside && row + ty * 4u + {r}u < p(0u) && c < 4u; c += 1u) {{
let e = made + {}u + tx * 4u + c;
if (e < p(4u)) {{ out[starts.out + (row + ty * 4u + {r}u) * p(33u) + e * p(34u)] = made{n}{r}[c]{shared}; }}
}}",
                    n * CHUNK
                )
                .expect("text");
            }
        }
        text += "}\n";
        if !forward {
            text += &self.weight_of(queries, keys);
        }
        text
    }

    /// The weight of a query and a key after the dropout, or the gradient of their score.
    fn weight_of(self, queries: &str, keys: &str) -> String {
        let dropped = if self.drops { format!(" * kept(batch * {queries} + i, {keys}, j)") } else { String::new() };
        let value = if self.part.has_slopes() {
            format!("weight * (slope{dropped} - statistics[p(21u) + p(6u) * {queries} + at]) * pf(7u)")
        } else {
            format!("weight{dropped}")
        };
        format!(
            "fn weight_of(batch: u32, i: u32, j: u32, product: f32, slope: f32) -> f32 {{
if (i >= {queries} || j >= {keys}) {{ return 0.0; }}
let at = batch * {queries} + i;
let log_sum = statistics[p(21u) + at];
let weight = m_exp(score_of(i, j, product) - select(log_sum, 0.0, log_sum == -infinity()));
return {value};
}}
"
        )
    }
}

/// `name0` to `name3`: four rows and four columns of a block of products of rows of `mine` with rows of `other`.
fn block_product(name: &str, mine: char, other: char, width: usize) -> String {
    let mut text = String::new();
    (0..4).for_each(|r| text += &format!("var {name}{r} = vec4<f32>(0.0);\n"));
    let four = |matrix: char, from: &str| {
        let rows: Vec<String> = (0..4).map(|r| format!("at_{matrix}({from} + quad * 4u + {r}u, e)")).collect();
        format!("vec4<f32>({})", rows.join(", "))
    };
    write!(
        text,
        "for (var depth = 0u; depth < p({width}u); depth += 16u) {{
for (var load = local; load < 128u; load += 64u) {{
    let quad = load / 16u;
    let e = depth + load % 16u;
    tiles[(load % 16u) * 8u + quad] = {};
    tiles[128u + (load % 16u) * 8u + quad] = {};
}}
workgroupBarrier();
for (var d = 0u; d < 16u; d += 1u) {{
    let a = tiles[d * 8u + ty];
    let b = tiles[128u + d * 8u + tx];
    {name}0 += a.x * b;
    {name}1 += a.y * b;
    {name}2 += a.z * b;
    {name}3 += a.w * b;
}}
workgroupBarrier();
}}
",
        four(mine, "row"),
        four(other, "column")
    )
    .expect("text");
    text
}

/// Scores become e^(score − top); totals and what was made so far are brought to the new top.
fn carry_softmax(chunks: usize, drops: bool) -> String {
    let mut text = String::new();
    for r in 0..4 {
        writeln!(
            text,
            "parts[(ty * 4u + {r}u) * 8u + tx] = m_max(m_max(score{r}.x, score{r}.y), m_max(score{r}.z, score{r}.w));"
        )
        .expect("text");
    }
    text += "workgroupBarrier();\n";
    for r in 0..4 {
        writeln!(
            text,
            "{{
var best = top[{r}];
for (var t = 0u; t < 8u; t += 1u) {{ best = m_max(best, parts[(ty * 4u + {r}u) * 8u + t]); }}
// Nothing seen so far: −∞ − −∞ would be NaN.
let shift = select(best, 0.0, best == -infinity());
let keep = m_exp(top[{r}] - shift);
top[{r}] = best;
score{r} = vec4<f32>(m_exp(score{r}.x - shift), m_exp(score{r}.y - shift), m_exp(score{r}.z - shift), m_exp(score{r}.w - shift));
total[{r}] = total[{r}] * keep + (score{r}.x + score{r}.y) + (score{r}.z + score{r}.w);"
        )
        .expect("text");
        (0..chunks).for_each(|n| text += &format!("made{n}{r} *= keep;\n"));
        text += "}\n";
    }
    if drops {
        for r in 0..4 {
            for lane in 0..4 {
                writeln!(
                    text,
                    "score{r}[{lane}] *= kept(batch * p(0u) + row + ty * 4u + {r}u, p(1u), column + tx * 4u + {lane}u);"
                )
                .expect("text");
            }
        }
    }
    text
}

/// The totals of the rows over all columns; a query that saw nothing gets zeros.
const FINISH: &str = "workgroupBarrier();
for (var r = 0u; r < 4u; r += 1u) { parts[(ty * 4u + r) * 8u + tx] = total[r]; }
workgroupBarrier();
var share = vec4<f32>(0.0);
for (var r = 0u; r < 4u; r += 1u) {
    var sum = 0.0;
    for (var t = 0u; t < 8u; t += 1u) { sum += parts[(ty * 4u + r) * 8u + t]; }
    let seen = !(sum == 0.0);
    share[r] = select(0.0, 1.0 / sum, seen);
    let i = row + ty * 4u + r;
    if (inside && tx == 0u && made == 0u && i < p(0u)) {
        statistics[p(21u) + batch * p(0u) + i] = select(-infinity(), top[r] + m_log(sum), seen);
    }
}
";

/// Adds weights [32, 32] times 32 rows of a factor to chunk `n` of what is made.
fn chunk_product(n: usize, factor: char) -> String {
    let four: Vec<String> = (0..4)
        .map(|c| format!("at_{factor}(column + load / 8u, made + {}u + load % 8u * 4u + {c}u)", n * CHUNK))
        .collect();
    let mut text = format!(
        "for (var load = local; load < 256u; load += 64u) {{ tiles[load] = vec4<f32>({}); }}
workgroupBarrier();
for (var c = 0u; c < 32u; c += 1u) {{
let a = weights[c * 8u + ty];
let b = tiles[c * 8u + tx];
",
        four.join(", ")
    );
    for (r, lane) in ["x", "y", "z", "w"].iter().enumerate() {
        writeln!(text, "made{n}{r} += a.{lane} * b;").expect("text");
    }
    text + "}\nworkgroupBarrier();\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_valid_without_a_driver() {
        for part in [Part::Forward, Part::Query, Part::Key, Part::Value] {
            for (chunks, axes, mask, causal, drops) in
                [(1, 0, None, false, false), (2, 1, Some(true), true, true), (4, 4, Some(false), false, true)]
            {
                let text = Text { part, chunks, axes, mask, causal, drops };
                crate::ops::kernel::validation::check(&format!("{text:?}"), &text.wgsl());
            }
        }
    }
}
