//! How an operation launches a kernel of the GPU: tensors become bindings, numbers become parameters.
//! The kernels themselves stand beside their operations, in `<name>_gpu.rs` and `<name>.wgsl`.

use crate::device::Device;
use crate::dtype::DType;
use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Gpu, Source};
use crate::op;
use crate::shape::Layout;
use crate::storage::Storage;
use crate::tensor::Tensor;
use crate::{bail, ensure};
use std::sync::Arc;

/// Invocations a workgroup of kernels with one invocation an element: what every adapter has.
pub const GROUP: u32 = 256;

/// The GPU on which a tensor lies.
pub fn gpu_of(tensor: &Tensor) -> Result<Arc<Gpu>> {
    match tensor.device()? {
        Device::Gpu(gpu) => Ok(gpu),
        Device::Cpu => bail!(Internal, "{}: a tensor of the CPU in a kernel of the GPU", op::running()),
    }
}

/// A fresh dense tensor, to be written by a kernel. `layout` says shape and order in memory; its offset is 0.
pub fn output(gpu: &Arc<Gpu>, layout: Layout, dtype: DType) -> Result<Tensor> {
    supported(dtype)?;
    let bytes = (layout.numel() * dtype.size()) as u64;
    let storage = Storage::on_gpu(gpu.allocate(bytes, op::running())?);
    Ok(Tensor::new(Arc::new(storage), layout, dtype))
}

/// As [`output`], row-major.
pub fn output_of(gpu: &Arc<Gpu>, shape: &[usize], dtype: DType) -> Result<Tensor> {
    output(gpu, Layout::contiguous(shape), dtype)
}

/// Words that a kernel reads as `array<u32>`: sizes that do not fit among the parameters.
pub fn table(gpu: &Arc<Gpu>, words: &[u32]) -> Result<Tensor> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let storage = Storage::on_gpu(gpu.upload(&bytes, op::running())?);
    Ok(Tensor::new(Arc::new(storage), Layout::contiguous(&[words.len()]), DType::F32))
}

/// float32, float16, int64, uint8 and bool live on a GPU.
pub fn supported(dtype: DType) -> Result<()> {
    ensure!(
        matches!(dtype, DType::F32 | DType::F16 | DType::I64 | DType::U8 | DType::Bool),
        Unsupported,
        "{}: {} tensors live on the CPU only; GPUs have no such arithmetic. Convert with .to('float32')",
        op::running(),
        dtype.name()
    );
    Ok(())
}

/// The entry point of most kernels; before it stands the size of its workgroups, behind it its body.
pub const MAIN: &str = "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) local: u32)";

/// That of kernels that have one invocation an element and say what it does in `each`.
fn entry() -> String {
    format!("@compute @workgroup_size({GROUP})\n{MAIN} {{ each(invocation(group, groups, local, {GROUP}u)); }}\n")
}

/// `each`: invocation `i` stores `value(i)`, of elements that share a word a whole word. Number 0 of the sizes is
/// the count of elements, number `place` the output's place.
pub fn store_each(dtype: DType, place: usize) -> String {
    let words = |many: usize, bits: &str| {
        format!(
            "if (i * {many}u >= p(0u)) {{ return; }}
var word = 0u;
for (var k = 0u; k < {many}u; k += 1u) {{
    if (i * {many}u + k < p(0u)) {{ word |= {bits} << (k * {}u); }}
}}
out[p({place}u) / {many}u + i] = word;\n}}\n",
            32 / many
        )
    };
    let body = match dtype {
        DType::F16 => words(2, "half_of(value(i * 2u + k))"),
        DType::U8 | DType::Bool => words(4, "(value(i * 4u + k) & 0xffu)"),
        _ => format!("if (i >= p(0u)) {{ return; }}\nout[p({place}u) + i] = value(i);\n}}\n"),
    };
    format!("fn each(i: u32) {{\n{body}")
}

/// Invocations that [`store_each`] takes for so many elements.
pub fn stores(dtype: DType, count: usize) -> usize {
    count.div_ceil(a_word(dtype))
}

/// Elements that share a word.
pub fn a_word(dtype: DType) -> usize {
    (4 / dtype.size()).max(1)
}

/// Element `index` of a buffer, as a value of type [`value_type`].
pub fn load(dtype: DType, buffer: &str, index: &str) -> String {
    match dtype {
        DType::F16 => format!("unpack2x16float({buffer}[({index}) / 2u])[({index}) % 2u]"),
        DType::U8 | DType::Bool => format!("(({buffer}[({index}) / 4u] >> (({index}) % 4u * 8u)) & 0xffu)"),
        _ => format!("{buffer}[{index}]"),
    }
}

/// The WGSL type of four floats side by side in a buffer.
pub fn quad(dtype: DType) -> &'static str {
    if dtype == DType::F16 { "vec2<u32>" } else { "vec4<f32>" }
}

/// Four floats of a buffer of [`quad`]s as a vec4<f32>; `index` counts elements.
pub fn load_quad(dtype: DType, buffer: &str, index: &str) -> String {
    match dtype {
        DType::F16 => format!("four_halves({buffer}[({index}) / 4u])"),
        _ => format!("{buffer}[({index}) / 4u]"),
    }
}

/// What [`quad`] stores of four expressions.
pub fn quad_of(dtype: DType, [x, y, z, w]: [String; 4]) -> String {
    match dtype {
        DType::F16 => format!("vec2<u32>(half_pair({x}, {y}), half_pair({z}, {w}))"),
        _ => format!("vec4<f32>({x}, {y}, {z}, {w})"),
    }
}

/// The WGSL type of one element in expressions.
pub fn value_type(dtype: DType) -> &'static str {
    if dtype == DType::F16 { "f32" } else { element(dtype) }
}

/// The WGSL type of the elements of a buffer: int64 is (low, high); four bytes share a word, and two float16.
pub fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I64 => "vec2<u32>",
        _ => "u32",
    }
}

/// The bindings and parameters of one launch.
pub struct Kernel {
    gpu: Arc<Gpu>,
    buffers: Vec<Bound>,
    parameters: Vec<u32>,
    faults: bool,
}

struct Bound {
    storage: Arc<Storage>,
    offset: u64,
    size: u64,
    written: bool,
}

impl Kernel {
    pub fn new(gpu: &Arc<Gpu>) -> Kernel {
        Kernel { gpu: gpu.clone(), buffers: Vec::new(), parameters: Vec::new(), faults: false }
    }

    /// Binds a tensor that is read. Returns where in the binding its first element is, counted in elements.
    pub fn read(&mut self, tensor: &Tensor) -> Result<u32> {
        self.bind(tensor, tensor.layout(), false)
    }

    /// Binds a fresh tensor that is written.
    pub fn write(&mut self, tensor: &Tensor) -> Result<u32> {
        self.bind(tensor, tensor.layout(), true)
    }

    /// Binds what a layout covers of a tensor's storage: a window of a tensor that is too large to be bound whole.
    pub fn bind(&mut self, tensor: &Tensor, layout: &Layout, written: bool) -> Result<u32> {
        let storage = tensor.storage()?;
        let element = tensor.dtype().size() as u64;
        let buffer = storage.gpu().ok_or_else(|| crate::error::Error::Internal("a tensor of the CPU bound".into()))?;
        let first = if layout.numel() == 0 { 0 } else { layout.offset as u64 * element };
        let end = first + extent(layout) as u64 * element;
        let alignment = self.gpu.limits().binding_alignment;
        let offset = first / alignment * alignment;
        let end = end.next_multiple_of(16).clamp(offset + 16, buffer.capacity());
        self.buffers.push(Bound { storage: storage.clone(), offset, size: end - offset, written });
        Ok(((first - offset) / element) as u32)
    }

    /// Binds, behind all others, the words that tell of a fault in the inputs; returns the number of this operation, which a
    /// kernel writes there. See `faults_wgsl`.
    pub fn tell_faults(&mut self) -> u32 {
        self.faults = true;
        self.gpu.fault_number(op::running())
    }

    /// Appends parameters; `p(i)` in the kernel is the i-th of all.
    pub fn set(&mut self, words: &[u32]) {
        self.parameters.extend_from_slice(words);
    }

    pub fn set_sizes(&mut self, sizes: &[usize]) {
        self.parameters.extend(sizes.iter().map(|&s| s as u32));
    }

    /// As [`Kernel::set`], read by `pf(i)`.
    pub fn set_floats(&mut self, values: &[f32]) {
        self.parameters.extend(values.iter().map(|v| v.to_bits()));
    }

    /// Records a kernel of one function, `each(i)`, for `count` invocations in workgroups of [`GROUP`]: it compares its number with
    /// `count`, its first parameter by convention.
    pub fn run_each(&self, key: &str, wgsl: &dyn Fn() -> String, count: usize) -> Result<()> {
        let workgroups = self.gpu.workgroups(count, GROUP)?;
        self.run(key, &|| wgsl() + &entry(), workgroups)
    }

    /// Records the kernel. Equal keys mean equal texts: whatever the text depends on belongs into the key.
    pub fn run(&self, key: &str, wgsl: &dyn Fn() -> String, workgroups: [u32; 3]) -> Result<()> {
        #[cfg(test)]
        validation::record(key, wgsl);
        let mut bindings = Vec::with_capacity(self.buffers.len());
        for (i, bound) in self.buffers.iter().enumerate() {
            let clash = |other: &Bound| Arc::ptr_eq(&other.storage, &bound.storage) && (other.written || bound.written);
            ensure!(
                !self.buffers[..i].iter().any(clash),
                Internal,
                "{}: one storage is read and written by one kernel",
                op::running()
            );
            let buffer = bound.storage.gpu().expect("bound above");
            bindings.push(Binding { buffer, offset: bound.offset, size: bound.size, written: bound.written });
        }
        self.gpu.dispatch(&Dispatch {
            what: op::running(),
            source: Source { key, wgsl },
            bindings: &bindings,
            parameters: &self.parameters,
            faults: self.faults,
            workgroups,
        })
    }
}

/// WGSL of `index_in(word, size)`: an int64 index as a whole number; one that does not lie in 0..size is told of, and comes
/// back as 0xffffffff. `binding` is the last of the kernel, `number` an expression for that of the operation.
pub fn faults_wgsl(binding: usize, number: &str) -> String {
    format!(
        "@group(0) @binding({binding}) var<storage, read_write> faults: array<atomic<u32>, 4>;
fn index_in(word: vec2<u32>, size: u32) -> u32 {{
    if (word.y == 0u && word.x < size) {{ return word.x; }}
    if (atomicCompareExchangeWeak(&faults[0], 0u, {number}).exchanged) {{
        atomicStore(&faults[1], word.x);
        atomicStore(&faults[2], word.y);
        atomicStore(&faults[3], size);
    }}
    return 0xffffffffu;
}}
"
    )
}

/// Elements from the first to the last of a layout, both included.
pub fn extent(layout: &Layout) -> usize {
    if layout.numel() == 0 {
        return 0;
    }
    1 + layout.shape.iter().zip(&layout.strides).map(|(n, s)| (n - 1) * s).sum::<usize>()
}

#[cfg(test)]
pub mod validation;
