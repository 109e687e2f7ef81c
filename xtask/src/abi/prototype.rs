//! Prototypes, as GCC's `-aux-info` prints them.

use std::collections::BTreeSet;

/// One line for each exported function: with its prototype where the headers declare it.
pub(super) fn lines(aux_info: &str, exported: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let mut declared = BTreeSet::new();
    for line in aux_info.lines() {
        // "/* file:line:flags */ extern int name (types);"
        let Some((_, declaration)) = line.split_once("*/") else {
            continue;
        };
        let declaration = declaration
            .split("/*")
            .next()
            .unwrap_or_default()
            .trim()
            .trim_end_matches(';');
        let declaration = declaration.strip_prefix("extern ").unwrap_or(declaration);
        let Some(name) = name(declaration) else {
            continue;
        };
        if exported.contains(name) {
            declared.insert(name);
            lines.insert(format!("function {declaration}"));
        }
    }
    for name in exported {
        if !declared.contains(name) {
            lines.insert(format!("symbol {name}"));
        }
    }
    lines
}

/// The identifier before the first opening parenthesis.
fn name(declaration: &str) -> Option<&str> {
    declaration
        .split_once(" (")?
        .0
        .rsplit([' ', '*'])
        .next()
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exported_functions_are_listed_and_each_once() {
        let aux = "/* a.h:1:NC */ extern int vaccel_noop (struct vaccel_session *);\n\
                   /* a.h:2:NC */ extern const char *vaccel_rundir (void);\n\
                   /* a.h:3:NC */ static int hidden (void);\n";
        let exported = BTreeSet::from(["vaccel_noop", "vaccel_rundir", "fs_file_read"]);
        let lines: Vec<String> = lines(aux, &exported).into_iter().collect();
        assert_eq!(
            lines,
            [
                "function const char *vaccel_rundir (void)",
                "function int vaccel_noop (struct vaccel_session *)",
                "symbol fs_file_read",
            ]
        );
    }
}
