//! The coverage table: what the suite has seen of each operation. Its rows are written by `check`.

use std::collections::BTreeMap;

/// Operations by name.
pub(super) type Rows = BTreeMap<&'static str, Coverage>;

/// A row.
#[derive(Default)]
pub(super) struct Coverage {
    pub value: Cell,
    pub gradient: Cell,
    pub second: Cell,
    pub strided: Cell,
    pub empty: Cell,
    pub nan: Cell,
    /// Value and gradient on a GPU as on the CPU.
    pub gpu: Cell,
    /// Whether the sizes that are tried now are tried on a GPU too.
    pub looks_at_gpu: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
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
    pub fn raise(&mut self, to: Cell) {
        *self = (*self).max(to);
    }
}

const COLUMNS: [&str; 7] = ["value", "gradient", "second", "strided", "empty", "NaN", "GPU"];

impl Coverage {
    fn cells(&self) -> [Cell; 7] {
        [self.value, self.gradient, self.second, self.strided, self.empty, self.nan, self.gpu]
    }

    /// Takes in what others saw of the same operation.
    pub fn join(&mut self, other: &Coverage) {
        self.value.raise(other.value);
        self.gradient.raise(other.gradient);
        self.second.raise(other.second);
        self.strided.raise(other.strided);
        self.empty.raise(other.empty);
        self.nan.raise(other.nan);
        self.gpu.raise(other.gpu);
    }

    /// Whether a case compared values with a reference.
    pub fn has_value(&self) -> bool {
        self.value == Cell::Checked
    }
}

/// A line an operation: ✓ where it was checked, – where that does not apply, or is refused with an error that was checked.
pub(super) fn table(rows: &Rows) -> String {
    let mut text = format!("{:<32}", "operation");
    COLUMNS.iter().for_each(|column| text += &format!(" {column:<8}"));
    let mut totals = [0; 7];
    for (op, row) in rows {
        text += &format!("\n{op:<32}");
        for (cell, total) in row.cells().iter().zip(&mut totals) {
            let checked = *cell == Cell::Checked;
            *total += usize::from(checked);
            text += &format!(" {:<8}", if checked { "✓" } else { "–" });
        }
    }
    let counts: Vec<String> = COLUMNS.iter().zip(totals).map(|(column, count)| format!("{column} {count}")).collect();
    text + &format!("\n{} operations: {}\n", rows.len(), counts.join(", "))
}
