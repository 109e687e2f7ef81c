//! Control groups (cgroup v2): memory, processes and processors of a process and all that it
//! starts, bounded by the kernel.
//!
//! The groups are made in one that has been delegated to this process: by systemd with
//! `Delegate=`, in a container by its engine, or by hand. What of it a machine lacks is told, and
//! the rest holds.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What can be bounded.
pub const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// The group of whoever makes the others: where there are controllers for those within, a group
/// holds no process itself.
const OWN: &str = "agent";
/// How long the processes of a group may take to be gone after they were killed.
const GONE: Duration = Duration::from_secs(2);
/// Where groups are, in a system that has nothing else.
const USUAL: &str = "/sys/fs/cgroup";

/// A delegated group, for others in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    folder: PathBuf,
    /// Those of [`CONTROLLERS`] that hold.
    controllers: Vec<&'static str>,
}

/// One group, for one process and what it starts. With it goes whatever is in it.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    controllers: Vec<&'static str>,
}

/// What a group may take; `None` where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Memory in bytes, files and shared memory too.
    pub memory: Option<u64>,
    /// Part of the processors beside other groups: 1 to 10000, 100 is usual.
    pub weight: Option<u32>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

impl Groups {
    /// The group that this process is in, or was before it made room there.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn own() -> Result<PathBuf, String> {
        let read = |path| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let (groups, mounts) = (read("/proc/self/cgroup")?, read("/proc/self/mountinfo")?);
        let own = find(&groups, &mounts)?;
        // Where one before this, of which it may be the successor, has made room already.
        match own.parent() {
            Some(delegated) if own.ends_with(OWN) => Ok(delegated.to_owned()),
            _ => Ok(own),
        }
    }

    /// Takes a delegated group into use: moves this process into one within it, enables what there
    /// is, and removes what an earlier one left. Returns what is missing, too.
    ///
    /// # Errors
    /// Why no groups can be made there.
    pub fn open(folder: &Path) -> Result<(Self, Vec<String>), String> {
        let wrong = |what: &str, e: io::Error| format!("{}: {what}: {e}", folder.display());
        let there = fs::read_to_string(folder.join("cgroup.controllers"))
            .map_err(|e| wrong("it is no group of cgroup v2", e))?;
        let try_it = folder.join(format!("try.{}", std::process::id()));
        fs::create_dir(&try_it)
            .and_then(|()| fs::remove_dir(&try_it))
            .map_err(|e| wrong("no group can be made in it; it must be delegated", e))?;
        remove_left(folder);
        let mut missing = Vec::new();
        let (there, not): (Vec<&str>, Vec<&str>) = CONTROLLERS
            .into_iter()
            .partition(|name| there.split_whitespace().any(|other| other == *name));
        missing.extend(
            not.iter()
                .map(|name| format!("{name}: not delegated, or of cgroup v1 here")),
        );
        // Where it fails, no controller can be enabled, which is told of each.
        if !there.is_empty()
            && let Err(e) = step_down(folder)
        {
            missing.push(format!("this process stays in {}: {e}", folder.display()));
        }
        let mut controllers = Vec::new();
        for name in there {
            match set(&folder.join("cgroup.subtree_control"), &format!("+{name}")) {
                Ok(()) => controllers.push(name),
                Err(e) => missing.push(format!("{name}: cannot be enabled: {e}")),
            }
        }
        let folder = folder.to_owned();
        let groups = Self {
            folder,
            controllers,
        };
        Ok((groups, missing))
    }

    /// What can be bounded.
    #[must_use]
    pub fn controllers(&self) -> &[&'static str] {
        &self.controllers
    }

    /// Makes a group; `number` tells it from others of this process.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn make(&self, number: u64) -> io::Result<Group> {
        let name = format!("worker.{}.{number}", std::process::id());
        let folder = self.folder.join(name);
        fs::create_dir(&folder)?;
        Ok(Group {
            folder,
            controllers: self.controllers.clone(),
        })
    }
}

impl Group {
    /// Puts a process into it, with all its threads.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take(&self, process: u32) -> io::Result<()> {
        set(&self.folder.join("cgroup.procs"), &process.to_string())
    }

    /// Bounds it, as far as there are controllers.
    ///
    /// # Errors
    /// The first that could not be set; the others are.
    pub fn bound(&self, bounds: &Bounds) -> io::Result<()> {
        let weight = bounds.weight.map(|weight| weight.clamp(1, 10_000).into());
        let mut all = Ok(());
        for (controller, file, value) in [
            ("memory", "memory.max", bounds.memory),
            // All of it ends, and nothing of it is swapped out instead.
            ("memory", "memory.swap.max", bounds.memory.map(|_| 0)),
            ("memory", "memory.oom.group", bounds.memory.map(|_| 1)),
            ("cpu", "cpu.weight", weight),
            ("pids", "pids.max", bounds.processes),
        ] {
            let Some(value) = value.filter(|_| self.controllers.contains(&controller)) else {
                continue;
            };
            match set(&self.folder.join(file), &value.to_string()) {
                // Kernels without swap have no such file.
                Err(e) if e.kind() == io::ErrorKind::NotFound && file == "memory.swap.max" => {}
                done => all = all.and(done),
            }
        }
        all
    }

    /// How often the kernel has ended something in it for want of memory.
    #[must_use]
    pub fn out_of_memory(&self) -> u64 {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Kernels before 5.14 have no such file.
        let _ = set(&self.folder.join("cgroup.kill"), "1");
        let end = Instant::now() + GONE;
        // Busy until what was in it is gone.
        while fs::remove_dir(&self.folder).is_err_and(|e| e.kind() == io::ErrorKind::ResourceBusy)
            && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The group of `/proc/self/cgroup`, below where `/proc/self/mountinfo` says that groups are.
fn find(groups: &str, mounts: &str) -> Result<PathBuf, String> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let own = own.ok_or("there is no cgroup v2")?;
    // number parent device root place options... - kind source options
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        after
            .starts_with("cgroup2 ")
            .then(|| (PathBuf::from(root), PathBuf::from(place)))
    });
    let (root, place) = mount.ok_or_else(|| format!("{USUAL}: no cgroup v2 is mounted"))?;
    let below = Path::new(own)
        .strip_prefix(&root)
        .map_err(|_| format!("{own} is outside of what is mounted at {}", place.display()))?;
    Ok(place.join(below))
}

/// Writes to a file that is there.
fn set(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::options().write(true).truncate(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// Moves this process from a group into one within it, if it is there.
fn step_down(folder: &Path) -> io::Result<()> {
    let own = std::process::id().to_string();
    let there = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    if !there.lines().any(|line| line == own) {
        return Ok(());
    }
    let within = folder.join(OWN);
    match fs::create_dir(&within) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => set(&within.join("cgroup.procs"), &own),
    }
}

/// Removes groups of one that was killed. Those that are in use cannot be removed.
fn remove_left(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"worker."));
    for entry in ours {
        let _ = fs::remove_dir(entry.path());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// A folder laid out like a group, for what this machine has no controllers for.
    fn laid_out(controllers: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(OWN)).unwrap();
        for (name, text) in [
            ("cgroup.controllers", controllers),
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", ""),
            ("agent/cgroup.procs", ""),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read(path: PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn ones_own_group_is_found_wherever_groups_are_mounted() {
        let mounts = "25 1 0:22 / /sys rw - sysfs sysfs rw\n\
                      30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let groups = "1:name=systemd:/\n0::/system.slice/vaccel.service\n";
        assert_eq!(
            find(groups, mounts),
            Ok("/sys/fs/cgroup/system.slice/vaccel.service".into())
        );
        let inside = "31 25 0:26 /box /groups rw - cgroup2 none rw\n";
        assert_eq!(find("0::/box/a\n", inside), Ok("/groups/a".into()));
        assert!(find("0::/other\n", inside).unwrap_err().contains("outside"));
        assert!(find("4:memory:/\n", mounts).is_err());
        assert!(find(groups, "").unwrap_err().contains("no cgroup v2"));
    }

    #[test]
    fn what_is_delegated_is_enabled_and_the_rest_is_told() {
        let folder = laid_out("cpuset memory pids\n");
        let (groups, missing) = Groups::open(folder.path()).unwrap();
        assert_eq!(groups.controllers(), ["memory", "pids"]);
        assert_eq!(missing, ["cpu: not delegated, or of cgroup v1 here"]);
        assert_eq!(read(folder.path().join("cgroup.subtree_control")), "+pids");
        let plain = tempfile::tempdir().unwrap();
        let error = Groups::open(plain.path()).unwrap_err();
        assert!(error.contains("no group of cgroup v2"), "{error}");
        assert!(Groups::open(Path::new("/proc/self")).is_err());
    }

    #[test]
    fn this_process_makes_room_in_its_group_before_it_enables_anything() {
        let folder = laid_out("memory");
        let own = std::process::id().to_string();
        fs::write(folder.path().join("cgroup.procs"), format!("1\n{own}\n")).unwrap();
        Groups::open(folder.path()).unwrap();
        assert_eq!(read(folder.path().join("agent/cgroup.procs")), own);
        // One that comes after it finds the group.
        Groups::open(folder.path()).unwrap();
    }

    #[test]
    fn bounds_are_written_for_the_controllers_that_there_are() {
        let folder = laid_out("memory cpu pids");
        let (groups, missing) = Groups::open(folder.path()).unwrap();
        assert!(missing.is_empty(), "{missing:?}");
        let group = groups.make(7).unwrap();
        let within = group.folder.clone();
        for name in [
            "memory.max",
            "memory.oom.group",
            "cpu.weight",
            "cgroup.procs",
        ] {
            fs::write(within.join(name), "").unwrap();
        }
        let bounds = Bounds {
            memory: Some(1 << 30),
            weight: Some(20_000),
            processes: None,
        };
        group.bound(&bounds).unwrap();
        assert_eq!(read(within.join("memory.max")), "1073741824");
        // As where the kernel has no swap.
        assert!(!within.join("memory.swap.max").exists());
        assert_eq!(read(within.join("memory.oom.group")), "1");
        assert_eq!(read(within.join("cpu.weight")), "10000");
        assert!(!within.join("pids.max").exists());
        group.take(5).unwrap();
        assert_eq!(read(within.join("cgroup.procs")), "5");
        assert_eq!(group.out_of_memory(), 0);
        fs::write(within.join("memory.events"), "low 0\noom 3\noom_kill 2\n").unwrap();
        assert_eq!(group.out_of_memory(), 2);
        let bounds = Bounds {
            processes: Some(9),
            ..bounds
        };
        group.bound(&bounds).unwrap_err();
        let folder = laid_out("");
        let (few, missing) = Groups::open(folder.path()).unwrap();
        assert!(few.controllers().is_empty() && missing.len() == 3);
        let group = few.make(1).unwrap();
        group.bound(&bounds).unwrap();
        assert_eq!(fs::read_dir(&group.folder).unwrap().count(), 0);
    }

    #[test]
    fn all_that_a_group_holds_ends_with_it() {
        // Any group in which another can be made will do.
        let own = Groups::own().and_then(|own| Groups::open(&own));
        let (groups, _) = match own {
            Ok(own) => own,
            Err(e) => {
                eprintln!("not tested: {e}");
                return;
            }
        };
        let group = groups.make(1).unwrap();
        let folder = group.folder.clone();
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        if !folder.join("cgroup.kill").exists() {
            eprintln!("not tested: this kernel has no cgroup.kill");
            child.kill().unwrap();
        } else {
            group.take(child.id()).unwrap();
            let processes = read(folder.join("cgroup.procs"));
            assert_eq!(processes.trim(), child.id().to_string());
        }
        drop(group);
        assert!(!child.wait().unwrap().success());
        assert!(!folder.exists());
    }
}
