//! What steps tell each other of an image, and what they record of it.

/// What a step records for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    Nothing,
    /// 0 or 1.
    Flag,
    Number,
    Numbers(usize),
    /// 0 or 1 for each cell of a grid of (rows, columns).
    Flags([usize; 2]),
}

impl Record {
    /// How many numbers it takes.
    pub fn count(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Flag | Self::Number => 1,
            Self::Numbers(count) => count,
            Self::Flags([rows, columns]) => rows * columns,
        }
    }
}

/// What a step meets and leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}
