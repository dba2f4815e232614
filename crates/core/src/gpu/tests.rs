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

#[test]
fn a_lost_device_is_an_error_that_says_what_to_do_and_is_opened_anew() {
    if device().is_none() {
        return;
    }
    // A device of its own: the others' tests go on.
    let gpu = std::sync::Arc::new(adapter::open_alone(0).unwrap());
    let buffer = gpu.upload(&[1, 2, 3, 4], "test").unwrap();
    gpu.device.destroy();
    gpu.device.poll(wgpu::PollType::Poll).ok();
    let error = gpu.read(&buffer, 0, 4, "matmul").and_then(|reading| reading.wait(|b| b.to_vec())).unwrap_err();
    assert_eq!(error.code(), "ERR_DEVICE");
    for part in ["gpu:0", "lost", "--resume"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
    assert!(gpu.is_lost());
    // It stays an error, and another device works.
    assert!(gpu.upload(&[1, 2, 3, 4], "test").is_err());
    assert!(open(None).unwrap().upload(&[1, 2, 3, 4], "test").is_ok());
}

#[test]
fn a_kernel_that_sees_too_much_of_a_tensor_is_refused_with_the_numbers() {
    let Some(gpu) = device() else { return };
    let buffer = gpu.allocate(4, "test").unwrap();
    let size = gpu.limits().binding + 16;
    let binding = Binding { buffer: &buffer, offset: 0, size, written: false };
    let source = Source { key: "too much", wgsl: &|| String::new() };
    let dispatch = Dispatch {
        what: "matmul",
        source,
        bindings: &[binding],
        parameters: &[],
        faults: false,
        workgroups: [1, 1, 1],
    };
    let error = gpu.dispatch(&dispatch).unwrap_err();
    assert_eq!(error.code(), "ERR_UNSUPPORTED");
    for part in ["matmul", &size.to_string(), &gpu.limits().binding.to_string()] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn kernels_are_timed_by_the_name_of_the_operation() {
    if device().is_none() {
        return;
    }
    let gpu = std::sync::Arc::new(adapter::open_alone(0).unwrap());
    let buffer = gpu.allocate(1024, "test").unwrap();
    let text = || {
        "@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(256) fn main(@builtin(local_invocation_index) i: u32) { out[i] = i; }"
            .to_string()
    };
    let fill = |what: &'static str| {
        let binding = Binding { buffer: &buffer, offset: 0, size: 1024, written: true };
        let source = Source { key: "count", wgsl: &text };
        let bindings = &[binding];
        gpu.dispatch(&Dispatch { what, source, bindings, parameters: &[], faults: false, workgroups: [1, 1, 1] })
            .unwrap();
    };
    fill("before");
    assert!(gpu.set_timing(true).unwrap(), "lavapipe has timestamps");
    // More than one submission.
    (0..300).for_each(|_| fill("relu"));
    fill("add");
    let times = gpu.take_timings().unwrap();
    let counts: std::collections::BTreeMap<_, _> = times.iter().map(|t| (t.name.as_str(), t.dispatches)).collect();
    assert_eq!(counts, [("add", 1), ("relu", 300)].into());
    assert!(times.iter().all(|t| t.seconds >= 0.0) && times[0].seconds > 0.0, "{times:?}");
    assert_eq!(gpu.take_timings().unwrap(), []);
    gpu.set_timing(false).unwrap();
    fill("after");
    assert_eq!(gpu.take_timings().unwrap(), []);
    let written = gpu.read(&buffer, 0, 1024, "test").unwrap().wait(|b| b.to_vec()).unwrap();
    assert_eq!(written[1020..], 255u32.to_le_bytes());
}
