//! Linker settings of a Node addon; nothing when the core is built as a plain library.
fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
}
