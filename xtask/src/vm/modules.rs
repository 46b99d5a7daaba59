//! Kernel modules of an unpacked kernel, in the order in which they can be
//! inserted.
//!
//! A kernel package brings no modules.dep (installing it makes that), so the
//! dependencies are read from where depmod reads them: each module's own
//! `depends=` entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// One module, ready to be inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// The uncompressed module.
    pub(crate) content: Vec<u8>,
}

/// The modules below `folder` (`lib/modules/VERSION`) with these names, and all
/// they depend on, each after what it needs. What is built into the kernel is
/// left out.
pub(crate) fn load(folder: &Path, names: &[&str]) -> Result<Vec<Module>> {
    let files = files(&folder.join("kernel"))?;
    let built_in = built_in(folder)?;
    let mut contents = BTreeMap::new();
    let order = order(names, |name| {
        if built_in.contains(name) {
            return Ok(None);
        }
        let path = files.get(name).with_context(|| format!("{}: no module {name} in it", folder.display()))?;
        let content = uncompressed(path)?;
        let needed = depends(&content).with_context(|| format!("{}: no `depends=` entry in it", path.display()))?;
        contents.insert(name.to_owned(), content);
        Ok(Some(needed))
    })?;
    Ok(order
        .into_iter()
        .filter_map(|name| {
            let content = contents.remove(&name)?;
            Some(Module { name, content })
        })
        .collect())
}

/// Each of `names` and what it depends on, dependencies first. `needs` gives
/// what a module depends on, or nothing when it is built in.
fn order(names: &[&str], mut needs: impl FnMut(&str) -> Result<Option<Vec<String>>>) -> Result<Vec<String>> {
    fn visit(
        name: &str,
        needs: &mut dyn FnMut(&str) -> Result<Option<Vec<String>>>,
        above: &mut Vec<String>,
        done: &mut Vec<String>,
    ) -> Result<()> {
        let name = name.replace('-', "_");
        if done.contains(&name) {
            return Ok(());
        }
        if above.contains(&name) {
            bail!("modules depend on each other in a circle: {above:?}, {name}");
        }
        let Some(needed) = needs(&name)? else {
            return Ok(());
        };
        above.push(name);
        for one in needed {
            visit(&one, needs, above, done)?;
        }
        done.extend(above.pop());
        Ok(())
    }
    let mut done = Vec::new();
    for name in names {
        visit(name, &mut needs, &mut Vec::new(), &mut done)?;
    }
    Ok(done)
}

/// The comma-separated value of `depends=` in a module's section `.modinfo`,
/// whose entries end with NUL.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    const KEY: &[u8] = b"\0depends=";
    let start = module.windows(KEY.len()).position(|bytes| bytes == KEY)? + KEY.len();
    let value = module.get(start..)?.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(value).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Module files by name, written with underscores as the kernel does.
fn files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) = module_name(&path) {
                found.insert(name, path);
            }
        }
    }
    Ok(found)
}

fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, suffix) = file.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst" | ".gz").then(|| name.replace('-', "_"))
}

fn built_in(folder: &Path) -> Result<BTreeSet<String>> {
    let list = folder.join("modules.builtin");
    let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(text.lines().filter_map(|line| module_name(Path::new(line))).collect())
}

fn uncompressed(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|suffix| suffix.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    process::stdout_bytes(Command::new(program).args(["-d", "-c"]).arg(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order_of(names: &[&str], table: &[(&str, &[&str])]) -> Result<Vec<String>> {
        order(names, |name| {
            let (_, needed) =
                table.iter().find(|(module, _)| *module == name).with_context(|| format!("no module {name}"))?;
            Ok((*needed != ["built-in"]).then(|| needed.iter().map(|one| (*one).into()).collect()))
        })
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let table: &[(&str, &[&str])] = &[
            ("bridge", &["stp", "llc"]),
            ("stp", &["llc"]),
            ("llc", &[]),
            ("8021q", &["garp", "mrp"]),
            ("garp", &["stp", "llc"]),
            ("mrp", &[]),
        ];
        assert_eq!(
            order_of(&["bridge", "8021q", "llc"], table).unwrap(),
            ["llc", "stp", "bridge", "garp", "mrp", "8021q"]
        );
    }

    #[test]
    fn what_is_built_in_is_left_out() {
        let table: &[(&str, &[&str])] = &[("sch_fq", &["crc"]), ("crc", &["built-in"])];
        assert_eq!(order_of(&["sch_fq"], table).unwrap(), ["sch_fq"]);
    }

    #[test]
    fn hyphens_and_underscores_are_the_same() {
        let table: &[(&str, &[&str])] = &[("a_b", &["c-d"]), ("c_d", &[])];
        assert_eq!(order_of(&["a-b"], table).unwrap(), ["c_d", "a_b"]);
    }

    #[test]
    fn a_missing_module_and_a_circle_are_errors() {
        assert!(order_of(&["veth"], &[]).is_err());
        let circle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["a"])];
        assert!(order_of(&["a"], circle).is_err());
    }

    #[test]
    fn dependencies_are_read_from_the_module() {
        let module = b"\x7fELF...\0license=GPL\0depends=stp,llc\0retpoline=Y\0";
        assert_eq!(depends(module).unwrap(), ["stp", "llc"]);
        assert_eq!(depends(b"x\0depends=\0y").unwrap(), [""; 0]);
        assert_eq!(depends(b"no such entry"), None);
    }

    #[test]
    fn a_folder_of_modules_is_loaded_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("modules.builtin", b"kernel/lib/crc32.ko\n");
        write("kernel/net/802/stp.ko", b"\0depends=\0stp");
        write("kernel/net/bridge/bridge.ko", b"\0depends=stp,crc32\0");
        let names: Vec<_> = load(folder.path(), &["bridge"]).unwrap().into_iter().map(|module| module.name).collect();
        assert_eq!(names, ["stp", "bridge"]);
    }
}
