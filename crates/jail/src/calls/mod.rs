//! Only system calls of a list: seccomp.
//!
//! The lists are data: `data/calls.toml` names the calls, `data/ARCHITECTURE.txt` has
//! their numbers. [`bpf`] makes the filter.

pub mod bpf;

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use bpf::{Action, Checked, Filter, Test};

const CALLS: &str = include_str!("../../data/calls.toml");

#[cfg(target_arch = "x86_64")]
const NUMBERS: Option<(u32, &str)> = Some((0xC000_003E, include_str!("../../data/x86_64.txt")));
#[cfg(target_arch = "aarch64")]
const NUMBERS: Option<(u32, &str)> = Some((0xC000_00B7, include_str!("../../data/aarch64.txt")));
#[cfg(target_arch = "arm")]
const NUMBERS: Option<(u32, &str)> = Some((0x4000_0028, include_str!("../../data/arm.txt")));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "arm")))]
const NUMBERS: Option<(u32, &str)> = None;

/// What a profile allows beyond the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Sockets may be made.
    pub network: bool,
    /// Processes and programs may be started.
    pub spawn: bool,
    /// Memory may be made executable.
    pub jit: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    hot: Vec<String>,
    allow: Vec<String>,
    absent: Vec<String>,
    kill: Vec<String>,
    network: Vec<String>,
    spawn: Vec<String>,
    checked: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    call: Vec<String>,
    unless: Option<String>,
    only: Option<String>,
    then: Then,
    when: Vec<Vec<(u8, u32, Value)>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Then {
    Allow,
    Deny,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Value {
    Number(u32),
    Own(Own),
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Own {
    Pid,
}

impl Calls {
    /// The filter of the process that calls this, which knows its own number.
    ///
    /// # Errors
    /// When there are no lists for this processor, or they are not well formed.
    pub fn filter(self) -> Result<Filter, String> {
        let Some((architecture, numbers)) = NUMBERS else {
            return Err("there is no list of system calls for this processor".into());
        };
        let lists: Lists = toml::from_str(CALLS).map_err(|e| e.to_string())?;
        let numbers = parse(numbers)?;
        let newest = numbers.values().copied().filter(|n| *n < 0xF000).max();
        let mut filter = Filter::new(architecture, newest.unwrap_or(0));
        let mut add = |names: &[String], action| {
            for number in names.iter().filter_map(|name| numbers.get(&name[..])) {
                filter.plain.push((*number, action));
            }
        };
        add(&lists.hot, Action::Allow);
        add(&lists.allow, Action::Allow);
        add(&lists.absent, Action::Error(libc::ENOSYS));
        add(&lists.kill, Action::Kill);
        if self.network {
            add(&lists.network, Action::Allow);
        }
        if self.spawn {
            add(&lists.spawn, Action::Allow);
        }
        for entry in &lists.checked {
            if self.has(entry.only.as_deref())? == Some(false) {
                continue;
            }
            let free = self.has(entry.unless.as_deref())? == Some(true);
            let (then, other) = match entry.then {
                Then::Allow => (Action::Allow, Action::Error(libc::EPERM)),
                Then::Deny => (Action::Error(libc::EPERM), Action::Allow),
            };
            for number in entry.call.iter().filter_map(|name| numbers.get(&name[..])) {
                if free {
                    // Said by another entry (`only`), where there is one.
                    if matches!(entry.then, Then::Deny) {
                        filter.plain.push((*number, Action::Allow));
                    }
                    continue;
                }
                filter.checked.push(Checked {
                    number: *number,
                    when: entry
                        .when
                        .iter()
                        .map(|tests| tests.iter().map(test).collect())
                        .collect(),
                    then,
                    other,
                });
            }
        }
        Ok(filter)
    }

    fn has(self, name: Option<&str>) -> Result<Option<bool>, String> {
        Ok(Some(match name {
            None => return Ok(None),
            Some("network") => self.network,
            Some("spawn") => self.spawn,
            Some("jit") => self.jit,
            Some(other) => return Err(format!("calls.toml: a profile has no part `{other}`")),
        }))
    }

    /// Filters the system calls of the whole process, for good. Needs `no_new_privs`.
    ///
    /// # Errors
    /// Why not.
    pub fn restrict(self) -> Result<String, String> {
        let program = self.filter()?.compile()?;
        install(&program).map_err(|e| match e.raw_os_error() {
            Some(libc::EINVAL | libc::ENOSYS) => {
                "this kernel has no filters of system calls (CONFIG_SECCOMP_FILTER)".to_owned()
            }
            _ => format!("the filter of system calls is refused: {e}"),
        })?;
        Ok(format!("a filter of {} instructions", program.len()))
    }
}

fn test((argument, mask, value): &(u8, u32, Value)) -> Test {
    Test {
        argument: *argument,
        mask: *mask,
        value: match value {
            Value::Number(value) => *value,
            Value::Own(Own::Pid) => std::process::id(),
        },
    }
}

fn parse(numbers: &str) -> Result<HashMap<&str, u32>, String> {
    numbers
        .lines()
        .map(|line| {
            let (number, name) = line.split_once(' ').ok_or(line)?;
            Ok((name, number.parse().map_err(|_| line)?))
        })
        .collect::<Result<_, &str>>()
        .map_err(|line| format!("`{line}` is not a number and a name"))
}

fn install(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    let (operation, flags) = (
        libc::SECCOMP_SET_MODE_FILTER,
        libc::SECCOMP_FILTER_FLAG_TSYNC,
    );
    // SAFETY: the program lives for the call, which only reads it.
    match unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) } {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        // TSYNC names a thread that has another filter.
        thread => Err(io::Error::other(format!(
            "thread {thread} has another filter"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all() -> [HashMap<&'static str, u32>; 3] {
        [
            parse(include_str!("../../data/x86_64.txt")).unwrap(),
            parse(include_str!("../../data/aarch64.txt")).unwrap(),
            parse(include_str!("../../data/arm.txt")).unwrap(),
        ]
    }

    #[test]
    fn every_name_of_the_lists_is_one_that_some_processor_has() {
        let lists: Lists = toml::from_str(CALLS).unwrap();
        let tables = all();
        let plain = [
            &lists.hot,
            &lists.allow,
            &lists.kill,
            &lists.network,
            &lists.spawn,
        ];
        let checked = lists.checked.iter().map(|entry| &entry.call);
        for name in plain.into_iter().chain(checked).flatten() {
            assert!(
                tables.iter().any(|table| table.contains_key(&name[..])),
                "{name}"
            );
        }
    }

    #[test]
    fn no_name_is_in_two_lists() {
        let lists: Lists = toml::from_str(CALLS).unwrap();
        let mut seen = std::collections::HashSet::new();
        let plain = [
            &lists.hot,
            &lists.allow,
            &lists.absent,
            &lists.kill,
            &lists.network,
            &lists.spawn,
        ];
        let checked = lists
            .checked
            .iter()
            .filter(|e| e.only.is_none())
            .map(|entry| &entry.call);
        for name in plain.into_iter().chain(checked).flatten() {
            assert!(seen.insert(name), "{name} is listed twice");
        }
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        let (_, numbers) = NUMBERS.unwrap();
        let numbers = parse(numbers).unwrap();
        for (name, number) in [
            ("read", libc::SYS_read),
            ("futex", libc::SYS_futex),
            ("mprotect", libc::SYS_mprotect),
            ("clone", libc::SYS_clone),
            ("clone3", libc::SYS_clone3),
            ("ptrace", libc::SYS_ptrace),
            ("execve", libc::SYS_execve),
            ("seccomp", libc::SYS_seccomp),
            ("openat2", libc::SYS_openat2),
            ("socketpair", libc::SYS_socketpair),
        ] {
            assert_eq!(numbers[name] as libc::c_long, number, "{name}");
        }
    }

    #[test]
    fn filters_of_every_profile_fit_into_the_kernel() {
        for bits in 0..8 {
            let calls = Calls {
                network: bits & 1 != 0,
                spawn: bits & 2 != 0,
                jit: bits & 4 != 0,
            };
            let program = calls.filter().unwrap().compile().unwrap();
            assert!(program.len() < 4096, "{calls:?}: {}", program.len());
        }
    }
}
