//! What holds.

use std::fmt;

use serde::Serialize;

/// A part of a jail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// No program that is started has more rights.
    NoNewPrivileges,
    /// Memory and environment are not for other processes.
    NotDumpable,
    /// Limits of memory, files, descriptors; no core file.
    Limits,
    /// No right of the superuser.
    Capabilities,
    /// Only files of a list (Landlock).
    Files,
    /// No TCP (Landlock).
    Tcp,
    /// No signals and abstract sockets to the outside (Landlock).
    Scope,
    /// Only system calls of a list (seccomp).
    Calls,
    /// A network of its own, with nothing in it.
    Network,
    /// A limit of processes that counts its own only.
    Processes,
    /// Processes of the outside have no numbers (PID namespace). Where it is asked for.
    PidNamespace,
    /// Memory, processors and processes are bounded together (cgroup v2). Where it is asked for.
    ControlGroup,
}

impl Part {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNewPrivileges => "no-new-privileges",
            Self::NotDumpable => "not-dumpable",
            Self::Limits => "limits",
            Self::Capabilities => "capabilities",
            Self::Files => "files",
            Self::Tcp => "tcp",
            Self::Scope => "scope",
            Self::Calls => "calls",
            Self::Network => "network",
            Self::Processes => "processes",
            Self::PidNamespace => "pid-namespace",
            Self::ControlGroup => "control-group",
        }
    }

    /// A strict jail needs it. The limit of processes it does not: processes cannot be
    /// started where system calls are filtered. Nor what is there only where it is asked for.
    #[must_use]
    pub fn is_required(self) -> bool {
        !matches!(
            self,
            Self::Processes | Self::PidNamespace | Self::ControlGroup
        )
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a part holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The part.
    pub part: Part,
    /// It does.
    pub holds: bool,
    /// How, or why not.
    pub detail: String,
}

/// What holds of a jail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// Part by part.
    pub parts: Vec<Held>,
}

impl Report {
    /// Notes a part.
    pub fn note(&mut self, part: Part, result: Result<String, String>) {
        let (holds, detail) = match result {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        self.parts.push(Held {
            part,
            holds,
            detail,
        });
    }

    /// Parts that do not hold.
    pub fn missing(&self) -> impl Iterator<Item = &Held> {
        self.parts.iter().filter(|held| !held.holds)
    }

    /// What a strict jail lacks, for people; `None` when it lacks nothing.
    #[must_use]
    pub fn lacks(&self) -> Option<String> {
        let missing: Vec<String> = self
            .missing()
            .filter(|held| held.part.is_required())
            .map(|held| format!("{}: {}", held.part, held.detail))
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    }
}
