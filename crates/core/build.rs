//! Linker settings of a Node addon, and the table of operations that `ops::table` includes.

use std::fmt::Write;
use std::path::Path;

fn main() {
    #[cfg(feature = "node")]
    napi_build::setup();
    println!("cargo:rerun-if-changed=src/ops");
    let text = operations(Path::new("src/ops"));
    let out = std::env::var("OUT_DIR").expect("cargo names the folder");
    std::fs::write(Path::new(&out).join("operations.rs"), text).expect("the table of operations");
}

/// A row for every `impl Op`: its names are the texts in its `name()`; it has a GPU path if it defines `forward_gpu`, and
/// goes through the CPU if it defines `runs_on_cpu`.
fn operations(folder: &Path) -> String {
    let mut rows = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of operations") {
        let path = entry.expect("an entry").path();
        let Some(file) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        for implementation in text.split("Op for ").skip(1) {
            let body = implementation.split("\n}\n").next().unwrap_or_default();
            let name =
                body.split("fn name(&self) -> &'static str {").nth(1).and_then(|rest| rest.split("\n    }").next());
            let gpu = body.contains("fn forward_gpu(");
            let on_cpu = body.contains("fn runs_on_cpu(");
            let mut names: Vec<&str> = name.unwrap_or_default().split('"').skip(1).step_by(2).collect();
            if name.is_some_and(|name| name.trim() == "self.name") {
                names = given_names(&text);
            }
            for name in names {
                rows.push(format!("    Entry {{ name: {name:?}, file: {file:?}, gpu: {gpu}, on_cpu: {on_cpu} }},\n"));
            }
        }
    }
    rows.sort();
    rows.dedup();
    let mut text =
        String::from("/// Every operation that is not a row of `elementwise`.\npub const OPERATIONS: &[Entry] = &[\n");
    rows.iter().for_each(|row| text.write_str(row).expect("text"));
    text + "];\n"
}

/// The names that a file gives to an operation which keeps its name in a field.
fn given_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in text.lines().filter(|line| line.contains("let name = ") || line.contains("{ name: \"")) {
        names.extend(line.split('"').skip(1).step_by(2).take(if line.contains("let name = ") { 2 } else { 1 }));
    }
    names
}
