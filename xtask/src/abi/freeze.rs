//! The headers of a release, kept: programs and plugins are built with them for good.
//!
//! `tests/abi/VERSION.txt` holds all headers without their comments, each after a
//! line `// file: NAME`. `tests/functional/abi.rs` builds with every one of them.

use crate::process::root;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// Writes the headers of this version; what is frozen already is never changed.
pub(super) fn freeze() -> Result<()> {
    let include = root().join("include");
    let mut names = Vec::new();
    collect(&include, "", &mut names)?;
    names.sort();
    let mut text = String::new();
    for name in names {
        let header = fs::read_to_string(include.join(&name))?;
        text.push_str(&format!("// file: {name}\n"));
        for line in without_comments(&header).lines() {
            if !line.trim().is_empty() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
    }
    let path = root().join(format!("tests/abi/{}.txt", env!("CARGO_PKG_VERSION")));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::read_to_string(&path).is_ok_and(|old| old != text) {
        bail!(
            "{} is frozen and differs from include/; give the release a new version",
            path.display()
        );
    }
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("{} holds the headers of this release", path.display());
    Ok(())
}

fn collect(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else if name.ends_with(".h") {
            names.push(name);
        }
    }
    Ok(())
}

/// Block comments become one space; the headers have no others, and no text with
/// the signs of a comment in it.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        out.push(' ');
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_the_code_between_them_stays() {
        assert_eq!(
            without_comments("/** a\n * b */\nint x; /* y */ int z;\n"),
            " \nint x;   int z;\n"
        );
    }
}
