//! Puts the BPF object into the binary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    println!("cargo::rerun-if-env-changed=SHAPER_BPF_OBJECT");
    let (Some(manifest), Some(out)) = (env::var_os("CARGO_MANIFEST_DIR"), env::var_os("OUT_DIR")) else {
        println!("cargo::error=cargo did not set CARGO_MANIFEST_DIR and OUT_DIR");
        return ExitCode::FAILURE;
    };
    let object = env::var_os("SHAPER_BPF_OBJECT")
        .map_or_else(|| Path::new(&manifest).join("../target/bpf/shaper.bpf.o"), PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    // A copy under OUT_DIR: the name in the source does not depend on where the object was built.
    match fs::copy(&object, Path::new(&out).join("shaper.bpf.o")) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            println!(
                "cargo::error={}: cannot read the BPF object ({error}): run `cargo xtask build-ebpf` first",
                object.display()
            );
            ExitCode::FAILURE
        }
    }
}
