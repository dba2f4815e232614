//! Errors of the core: one enum with stable codes; every message says what happened, with the values.

use std::fmt;

/// What went wrong. The code (see [`Error::code`]) is stable, the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Sizes that do not fit together.
    Shape(String),
    /// An element type the operation does not take.
    Dtype(String),
    /// An argument outside its range.
    Argument(String),
    /// A backward pass that cannot be done, or would be wrong.
    Autograd(String),
    /// A tensor whose memory was freed by a scope or by `dispose`.
    Disposed(String),
    /// Memory that could not be had.
    Memory(String),
    /// Bytes that are not what they claim to be.
    Data(String),
    /// A path that does not exist on this device or for this type.
    Unsupported(String),
    /// A device that is not there, was lost, or is another one than that of a tensor.
    Device(String),
    /// A broken invariant of the core itself.
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The stable code that reaches JavaScript as `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Shape(_) => "ERR_SHAPE",
            Error::Dtype(_) => "ERR_DTYPE",
            Error::Argument(_) => "ERR_ARGUMENT",
            Error::Autograd(_) => "ERR_AUTOGRAD",
            Error::Disposed(_) => "ERR_DISPOSED",
            Error::Memory(_) => "ERR_MEMORY",
            Error::Data(_) => "ERR_DATA",
            Error::Unsupported(_) => "ERR_UNSUPPORTED",
            Error::Device(_) => "ERR_DEVICE",
            Error::Internal(_) => "ERR_INTERNAL",
        }
    }

    /// The text without the code.
    pub fn message(&self) -> &str {
        match self {
            Error::Shape(m)
            | Error::Dtype(m)
            | Error::Argument(m)
            | Error::Autograd(m)
            | Error::Disposed(m)
            | Error::Memory(m)
            | Error::Data(m)
            | Error::Unsupported(m)
            | Error::Device(m)
            | Error::Internal(m) => m,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code(), self.message())
    }
}

impl std::error::Error for Error {}

/// `bail!(Shape, "matmul: {a:?} and {b:?} …")` returns that error.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($text:tt)*) => { return Err($crate::error::Error::$kind(format!($($text)*))) };
}

/// `ensure!(condition, Shape, "…")` returns that error unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $kind:ident, $($text:tt)*) => { if !$condition { $crate::bail!($kind, $($text)*) } };
}
