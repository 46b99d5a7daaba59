//! Programs that cargo builds into the repository's own folder, one folder a
//! toolchain.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Done, announce};
use crate::{Repo, process};

const BPF_LINKER: &str = "0.13.0";
/// The feature of bpf-linker that names the LLVM of the pinned toolchain.
const BPF_LINKER_LLVM: &str = "llvm-22";
const CARGO_DENY: &str = "0.20.2";

/// bpf-linker on the LLVM that the toolchain brings, so that no second LLVM is
/// needed and both agree on the bitcode.
pub(super) fn bpf_linker(repo: &Repo) -> Result<Done> {
    let tools = repo.tools();
    if answers(&tools.join("bin/bpf-linker"), BPF_LINKER) {
        return Ok(Done::AlreadyThere);
    }
    let lib = repo.sysroot.join("lib");
    let llvm = tools.join("llvm");
    link_llvm(&shared_llvm(&lib)?, &llvm)?;
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", lib.display());
    install(repo, "bpf-linker", BPF_LINKER, |cargo| {
        cargo
            .args(["--no-default-features", "--features", BPF_LINKER_LLVM])
            .env("LLVM_PREFIX", &llvm)
            .env("CARGO_ENCODED_RUSTFLAGS", &rpath);
    })
}

/// cargo-deny, for the licences.
pub(super) fn cargo_deny(repo: &Repo) -> Result<Done> {
    if answers(&repo.tools().join("bin/cargo-deny"), CARGO_DENY) {
        return Ok(Done::AlreadyThere);
    }
    // Unoptimised it is built in a third of the time, and still runs in seconds.
    install(repo, "cargo-deny", CARGO_DENY, |cargo| {
        cargo.arg("--debug").env("CARGO_PROFILE_DEV_DEBUG", "0");
    })
}

fn install(repo: &Repo, name: &str, version: &str, adjust: impl FnOnce(&mut Command)) -> Result<Done> {
    announce(&format!("building {name} {version}"));
    let tools = repo.tools();
    let build = tools.join(format!("build-{name}"));
    let mut cargo = repo.cargo();
    cargo
        .args(["install", name, "--version", version, "--locked", "--force"])
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(&build);
    adjust(&mut cargo);
    let built = process::run(&mut cargo);
    remove_folder(&build)?;
    built?;
    let program = tools.join("bin").join(name);
    anyhow::ensure!(
        answers(&program, version),
        "{} was built and does not run: `{} --version` does not answer {version}",
        name,
        program.display()
    );
    Ok(Done::Installed)
}

/// True when the program runs and says that it is this version. LD_LIBRARY_PATH
/// is cleared, since it would hide a wrong rpath.
fn answers(program: &Path, version: &str) -> bool {
    program.exists()
        && process::stdout(Command::new(program).arg("--version").env_remove("LD_LIBRARY_PATH"))
            .is_ok_and(|answer| answer.split_whitespace().any(|word| word == version))
}

/// The toolchain's LLVM. Beside it lies a linker script of a similar name,
/// which rust-lld cannot follow through a link in another folder.
fn shared_llvm(lib: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(lib).with_context(|| format!("cannot read the folder {}", lib.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("libLLVM") && name.contains(".so") && is_elf(&path)? {
            return Ok(path);
        }
    }
    anyhow::bail!(
        "{}: no shared libLLVM in it, and bpf-linker is built on the toolchain's own: \
         use a toolchain from rustup",
        lib.display()
    )
}

fn is_elf(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let read = File::open(path)
        .and_then(|mut file| file.read(&mut magic))
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(read == magic.len() && &magic == b"\x7fELF")
}

/// Makes `<prefix>/lib/libLLVM.so` a link to `library`.
fn link_llvm(library: &Path, prefix: &Path) -> Result<()> {
    let folder = prefix.join("lib");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let link = folder.join("libLLVM.so");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", link.display()));
        }
        _ => {}
    }
    symlink(library, &link).with_context(|| format!("cannot make the link {}", link.display()))
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_script_beside_libllvm_is_passed_over() {
        let lib = tempfile::tempdir().unwrap();
        fs::write(lib.path().join("libLLVM-22-rust.so"), "INPUT(libLLVM.so.22.1)").unwrap();
        assert!(shared_llvm(lib.path()).is_err());
        let library = lib.path().join("libLLVM.so.22.1");
        fs::write(&library, b"\x7fELF\x02\x01").unwrap();
        assert_eq!(shared_llvm(lib.path()).unwrap(), library);
    }

    #[test]
    fn the_link_to_libllvm_replaces_an_older_one() {
        let prefix = tempfile::tempdir().unwrap();
        for library in ["/old/libLLVM.so.21", "/new/libLLVM.so.22"] {
            link_llvm(Path::new(library), prefix.path()).unwrap();
            let link = fs::read_link(prefix.path().join("lib/libLLVM.so")).unwrap();
            assert_eq!(link, Path::new(library));
        }
    }

    #[test]
    fn a_missing_program_does_not_answer() {
        assert!(!answers(Path::new("/nonexistent/bpf-linker"), "0.13.0"));
    }
}
