//! Memory, transfers and errors of the GPU, without any operation.

use super::*;

/// The first adapter, or none, said loudly: CI has one.
pub(crate) fn device() -> Option<std::sync::Arc<Gpu>> {
    match open(None) {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            eprintln!("SKIPPED, no GPU adapter: {error}");
            None
        }
    }
}

#[test]
fn bytes_come_back() {
    let Some(gpu) = device() else { return };
    for n in [0usize, 1, 3, 4, 255, 70_001, 3 << 20] {
        let bytes: Vec<u8> = (0..n).map(|i| (i * 7 % 251) as u8).collect();
        let buffer = gpu.upload(&bytes, "test").unwrap();
        let found = gpu.read(&buffer, 0, n as u64, "test").unwrap().wait(|b| b.to_vec()).unwrap();
        assert!(found == bytes, "{n} bytes");
    }
}

#[test]
fn writes_keep_the_order_of_recording() {
    let Some(gpu) = device() else { return };
    // The same memory, handed on while nothing was submitted: each copy must see what stood there when it was recorded.
    let kept: Vec<GpuBuffer> = (0..2000u32)
        .map(|i| {
            let short_lived = gpu.upload(&i.to_le_bytes().repeat(8), "test").unwrap();
            let kept = gpu.allocate(32, "test").unwrap();
            gpu.copy((&short_lived, 0), (&kept, 0), 32).unwrap();
            kept
        })
        .collect();
    for (i, buffer) in kept.iter().enumerate() {
        let found = gpu.read(buffer, 28, 4, "test").unwrap().wait(|b| b.to_vec()).unwrap();
        assert_eq!(found, (i as u32).to_le_bytes());
    }
}

#[test]
fn too_much_memory_is_an_error_that_names_the_operation_and_the_bytes() {
    let Some(gpu) = device() else { return };
    let error = gpu.allocate(1 << 50, "conv2d").err().expect("no device has that");
    assert_eq!(error.code(), "ERR_MEMORY");
    assert!(error.message().contains("conv2d") && error.message().contains("1125899906842624"), "{error}");
    // The device goes on working.
    assert!(gpu.upload(&[1, 2, 3, 4], "test").is_ok());
}

#[test]
fn an_invalid_kernel_is_an_error_that_names_it() {
    let Some(gpu) = device() else { return };
    let buffer = gpu.allocate(4, "test").unwrap();
    let binding = Binding { buffer: &buffer, offset: 0, size: 16, written: true };
    let source = Source { key: "broken", wgsl: &|| "fn main() { nonsense }".to_string() };
    let broken =
        Dispatch { what: "test", source, bindings: &[binding], parameters: &[], faults: false, workgroups: [1, 1, 1] };
    let error = gpu.dispatch(&broken).unwrap_err();
    assert_eq!(error.code(), "ERR_DEVICE");
    assert!(error.message().contains("kernel broken"), "{error}");
    assert!(gpu.upload(&[1, 2, 3, 4], "test").is_ok());
}
