//! What a guest finds: an init, the programs under test with the libraries
//! they name, and a few kernel modules.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{BufWriter, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{Guest, cpio::Archive, init, modules::Module};
use crate::process;

/// Writes an initramfs that inserts `modules`, runs the guest's program and
/// powers off.
pub(crate) fn write(to: &Path, modules: &[Module], guest: &Guest<'_>) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/etc"] {
        archive.directory(folder)?;
    }
    archive.symlink("/var/run", "/run")?;
    // Nobody is asked, but a host says whom it would ask.
    archive.file("/etc/resolv.conf", 0o644, b"nameserver 192.0.2.53\n".to_vec())?;
    archive.character_device("/dev/console", 5, 1)?;

    let ourselves = env::current_exe().context("cannot find this program's own file")?;
    with_libraries(&mut archive, &ourselves, Path::new(init::PATH))?;
    for program in guest.beside {
        let place = place(program)?;
        with_libraries(&mut archive, program, &place)?;
        // A link cannot lie on a way up.
        let here = program.canonicalize().with_context(|| format!("{}: no such program", program.display()))?;
        if place != here {
            archive.symlink(here, &place.to_string_lossy())?;
        }
    }
    let program = place(guest.program)?;
    with_libraries(&mut archive, guest.program, &program)?;

    let mut order = String::new();
    for module in modules {
        let path = format!("/modules/{}.ko", module.name);
        order.push_str(&path);
        order.push('\n');
        archive.file(path, 0o644, module.content.clone())?;
    }
    archive.file(init::MODULES, 0o644, order.into_bytes())?;

    let mut command = program.as_os_str().as_bytes().to_vec();
    for argument in guest.arguments {
        command.push(0);
        command.extend_from_slice(argument.as_bytes());
    }
    archive.file(init::COMMAND, 0o644, command)?;

    let write = || {
        let mut out = BufWriter::new(File::create(to)?);
        archive.write(&mut out)?;
        out.flush()
    };
    write().with_context(|| format!("cannot write {}", to.display()))
}

/// Where a program lies in the guest.
fn place(program: &Path) -> Result<PathBuf> {
    let name = program.file_name().with_context(|| format!("{}: not a program", program.display()))?;
    Ok(Path::new("/bin").join(name))
}

/// Adds a program as `guest`, and the libraries it is linked with where it
/// looks for them.
fn with_libraries(archive: &mut Archive, program: &Path, guest: &Path) -> Result<()> {
    let content = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    if !content.starts_with(b"\x7fELF") {
        bail!("{}: not an ELF program, and a guest has no shell to run scripts with", program.display());
    }
    if is_dynamic(&content) {
        let listed =
            process::stdout(Command::new("ldd").arg(program).env("LC_ALL", "C").env_remove("LD_LIBRARY_PATH"))?;
        for library in libraries(&listed).with_context(|| format!("cannot put {} into a guest", program.display()))? {
            let content =
                fs::read(&library).with_context(|| format!("cannot read the library {}", library.display()))?;
            archive.file(&library, 0o755, content)?;
        }
    }
    archive.file(guest, 0o755, content)
}

/// True when the program names an interpreter, the dynamic linker: its header
/// table has an entry of type PT_INTERP (elf(5)). ldd fails on others.
fn is_dynamic(elf: &[u8]) -> bool {
    const PT_INTERP: usize = 3;
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        let mut value = 0;
        for byte in bytes.iter().rev() {
            value = value << 8 | usize::from(*byte);
        }
        Some(value)
    };
    let (Some(table), Some(size), Some(count)) = (number(32, 8), number(54, 2), number(56, 2)) else {
        return false;
    };
    (0..count).any(|index| number(table + index * size, 4) == Some(PT_INTERP))
}

/// The files that ldd names: `name => path (address)`, or `path (address)` for
/// the interpreter. The kernel's own vdso has no file.
fn libraries(listed: &str) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for line in listed.lines().map(str::trim) {
        let path = match line.split_once(" => ") {
            Some((name, "not found")) => bail!("library {name} is not found"),
            Some((_, path)) => path,
            None => line,
        };
        let path = path.split(" (").next().unwrap_or(path);
        if path.starts_with('/') {
            found.insert(PathBuf::from(path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn libraries_and_the_interpreter_are_found_and_the_vdso_is_not() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                      \tlibpcap.so.0.8 => /lib/x86_64-linux-gnu/libpcap.so.0.8 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<_> = libraries(listed).unwrap().into_iter().collect();
        assert_eq!(
            found,
            [Path::new("/lib/x86_64-linux-gnu/libpcap.so.0.8"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        let error = libraries("\tlibpcap.so.0.8 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libpcap.so.0.8"));
    }

    #[test]
    fn this_test_is_a_dynamic_program() {
        let ourselves = fs::read(env::current_exe().unwrap()).unwrap();
        assert!(is_dynamic(&ourselves));
        assert!(!is_dynamic(&ourselves[..64]));
        assert!(!is_dynamic(b"\x7fELF"));
    }

    #[test]
    fn a_script_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let guest = Guest::new(&script, &[], Duration::ZERO);
        let error = write(&folder.path().join("out"), &[], &guest).unwrap_err();
        assert!(error.to_string().contains("not an ELF program"));
    }
}
