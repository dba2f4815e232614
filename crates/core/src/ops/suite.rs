//! The suite every operation goes through: value, gradient, second gradient, strides, empty axes, NaN, leaks.
//! It holds no case of its own: an operation's cases stand at the foot of its file, and one without any fails here.
//!
//! Sizes are labels: axes of the same size (above 1) belong together, so that the suite can run a case again with each
//! size replaced by 0, by 1 and by random ones. Give axes that may differ different sizes. A closure that fixes a size
//! then meets shapes it does not fit, and must answer with an error of its own (ERR_INTERNAL fails).

mod check;
mod input;

pub use self::input::*;
use crate::error::Result;
use crate::ops;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// One row a family of operations: the name of its file, whose `cases()` are run by a test of that name.
macro_rules! families {
    ($($family:ident)*) => {
        mod family { $(#[test] fn $family() { super::check(stringify!($family), crate::ops::$family::cases()); })* }
        fn all_cases() -> Vec<Case> { [$(ops::$family::cases()),*].into_iter().flatten().collect() }
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
    norm
    pool
    pad
    reduce
    resample
    scan
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

/// What was seen of an operation: the cells of the coverage table.
#[derive(Default)]
struct Coverage {
    value: Cell,
    gradient: Cell,
    second: Cell,
    strided: Cell,
    empty: Cell,
    nan: Cell,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// Does not apply.
    #[default]
    None,
    /// Refused with a clear error.
    Refused,
    /// Value: float32 agrees with float64.
    Agrees,
    Checked,
}

impl Cell {
    fn raise(&mut self, to: Cell) {
        *self = (*self).max(to);
    }
    fn text(self) -> &'static str {
        match self {
            Cell::None => "-",
            Cell::Refused => "error",
            Cell::Agrees => "f32=f64",
            Cell::Checked => "yes",
        }
    }
}

/// Runs the cases of a family and prints its part of the coverage table; panics with a list of what failed.
pub fn check(family: &str, cases: Vec<Case>) {
    let mut rows: BTreeMap<&str, Coverage> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in &cases {
        let row = rows.entry(case.op).or_default();
        let outcome = catch_unwind(AssertUnwindSafe(|| case.check(row))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!(
                "panicked: {}",
                text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()
            ))
        });
        if let Err(message) = outcome {
            failures.push(format!("{} ({}): {message}", case.op, case.variant));
        }
    }
    let mut table = format!(
        "\n{family:<24} {:<8} {:<8} {:<8} {:<8} {:<8} {:<8}\n",
        "value", "gradient", "second", "strided", "empty", "NaN"
    );
    for (op, row) in rows {
        let cells = [row.value, row.gradient, row.second, row.strided, row.empty, row.nan];
        table += &format!("{op:<24}");
        cells.iter().for_each(|cell| table += &format!(" {:<8}", cell.text()));
        table += "\n";
    }
    eprintln!("{table}");
    assert!(failures.is_empty(), "{} of {} cases failed:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Every `impl Op` in this folder answers to a name that some case tests.
#[test]
fn every_operation_has_cases() {
    let tested: BTreeSet<&str> = all_cases().iter().map(|case| case.op).collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let mut missing = Vec::new();
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
    for name in names {
        if !tested.contains(&name[..]) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "no cases for {missing:?}: write them in cases() of the operation's file");
}
