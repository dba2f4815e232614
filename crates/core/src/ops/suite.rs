//! The suite every operation goes through: value, gradient, second gradient, strides, empty axes, NaN, leaks.
//! It holds no case of its own: an operation's cases stand at the foot of its file, and one without any fails here.
//!
//! Sizes are labels: axes of the same size (above 1) belong together, so that the suite can run a case again with each
//! size replaced by 0, by 1 and by random ones. Give axes that may differ different sizes. A closure that fixes a size
//! then meets shapes it does not fit, and must answer with an error of its own (ERR_INTERNAL fails).

mod check;
mod coverage;
#[cfg(feature = "gpu")]
mod gpu;
mod input;

use self::coverage::{Cell, Coverage, Rows, table};
pub use self::input::*;
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// One row a family of operations: the name of its file, whose `cases()` are run by a test of that name.
macro_rules! families {
    ($($family:ident)*) => {
        mod family { $(#[test] fn $family() { super::check(stringify!($family)); })* }
        const FAMILIES: &[(&str, fn() -> Vec<Case>)] = &[$((stringify!($family), ops::$family::cases)),*];
    };
}

families! {
    attention
    batch_norm
    choose
    conv
    conv_product
    diagonal
    distance
    elementwise
    extreme
    index
    join
    linalg
    matmul
    movement
    nearest
    norm
    pool
    pad
    reduce
    resample
    scan
    scatter
    softmax
    sort
    spectral
    statistics
    unfold
}

/// A call of an operation on generated inputs.
pub struct Case {
    /// As `Op::name` says it: the row in the table.
    op: &'static str,
    variant: &'static str,
    inputs: Vec<Input>,
    run: Box<dyn Fn(&[Tensor]) -> Result<Tensor>>,
    reference: Option<Box<dyn Fn(&[Array]) -> Vec<f64>>>,
    tolerance: f64,
    gradient: bool,
    nan: bool,
}

/// A case. All float inputs are differentiated unless [`Input::constant`]; results of other types are only compared.
pub fn case(
    op: &'static str,
    variant: &'static str,
    inputs: impl Into<Vec<Input>>,
    run: impl Fn(&[Tensor]) -> Result<Tensor> + 'static,
) -> Case {
    let run = Box::new(run);
    Case { op, variant, inputs: inputs.into(), run, reference: None, tolerance: 1e-5, gradient: true, nan: true }
}

impl Case {
    /// Compares with this slow computation of all results in row-major order, on every shape that is tried.
    pub fn equals(mut self, reference: impl Fn(&[Array]) -> Vec<f64> + 'static) -> Case {
        self.reference = Some(Box::new(reference));
        self
    }
    /// Largest error of float32, relative to the largest result (default 1e-5; gradients ten times that).
    pub fn tolerance(mut self, tolerance: f64) -> Case {
        self.tolerance = tolerance;
        self
    }
    /// A NaN that goes in need not come out (comparisons, masks, sorting).
    pub fn drops_nan(mut self) -> Case {
        self.nan = false;
        self
    }
    /// The result is a float without gradient.
    pub fn without_gradient(mut self) -> Case {
        self.gradient = false;
        self
    }
}

/// What running the cases of a family showed.
struct Report {
    cases: usize,
    rows: Rows,
    failures: Vec<String>,
}

/// One a family, made by whoever asks first: its own test or the table of all.
static REPORTS: [OnceLock<Report>; FAMILIES.len()] = [const { OnceLock::new() }; FAMILIES.len()];

fn report(number: usize) -> &'static Report {
    REPORTS[number].get_or_init(|| {
        let cases = FAMILIES[number].1();
        let (mut rows, mut failures) = (Rows::new(), Vec::new());
        for case in &cases {
            let row = rows.entry(case.op).or_default();
            let outcome = catch_unwind(AssertUnwindSafe(|| case.check(row))).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or(panic.downcast_ref::<&str>().map(|s| s.to_string()));
                Err(format!("panicked: {}", text.unwrap_or_default()))
            });
            if let Err(message) = outcome {
                failures.push(format!("{} ({}): {message}", case.op, case.variant));
            }
        }
        Report { cases: cases.len(), rows, failures }
    })
}

/// Runs the cases of a family; panics with a list of what failed.
fn check(family: &str) {
    let number = FAMILIES.iter().position(|(name, _)| *name == family).expect("a family of the list");
    let Report { cases, rows, failures } = report(number);
    eprintln!("{}", table(rows));
    assert!(failures.is_empty(), "{} of {cases} cases failed:\n{}", failures.len(), failures.join("\n"));
}

fn all_rows() -> Rows {
    let mut rows = Rows::new();
    // From the last family on: the families' own tests begin with the first, and nobody waits for the other.
    for number in (0..FAMILIES.len()).rev() {
        for (op, seen) in &report(number).rows {
            rows.entry(op).or_default().join(seen);
        }
    }
    rows
}

/// The table of all operations: on the screen with `--nocapture`, and in the file that COVERAGE_TABLE names. Every
/// operation is compared with values that it did not compute itself.
#[test]
fn coverage() {
    let rows = all_rows();
    let table = table(&rows);
    eprintln!("{table}");
    if let Some(path) = std::env::var_os("COVERAGE_TABLE") {
        std::fs::write(path, &table).expect("the file for the coverage table");
    }
    let (mut missing, mut unchecked) = (Vec::new(), Vec::new());
    // A transfer has two devices; every case with a GPU goes through it, there and back.
    for name in names().into_iter().filter(|name| name != "transfer") {
        match rows.get(&name[..]) {
            None => missing.push(name),
            Some(row) if !row.has_value() => unchecked.push(name),
            Some(_) => {}
        }
    }
    assert!(missing.is_empty(), "no cases for {missing:?}: write them in cases() of the operation's file");
    assert!(unchecked.is_empty(), "no case of {unchecked:?} compares values: give one a reference with equals()");
}

/// The names of all operations: of the rows, and of every `impl Op` in this folder.
fn names() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut names: Vec<String> = ops::elementwise::names().iter().map(|n| n.to_string()).collect();
    for entry in std::fs::read_dir(folder).expect("the folder of operations") {
        let path = entry.expect("an entry").path();
        if path.is_dir() || path.ends_with("suite.rs") {
            continue;
        }
        let text = std::fs::read_to_string(path).expect("a source file");
        names.extend(text.split("fn name(&self) -> &'static str {").skip(1).filter_map(|rest| {
            let literal = rest.trim_start().strip_prefix('"')?;
            Some(literal[..literal.find('"')?].to_string())
        }));
    }
    names
}
