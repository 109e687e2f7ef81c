//! Start and end of the library in processes of their own, as the environment says.
#![allow(clippy::unwrap_used)]

mod common;

use common::{compile, folder, library, plugin};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

static PROBE: LazyLock<PathBuf> = LazyLock::new(|| compile("probe.c", "probe", &[]));
static PLUGIN: LazyLock<PathBuf> = LazyLock::new(|| plugin("probed", &[]));

/// Runs the probe in a clean environment and returns what it printed.
fn probe(env: &[(&str, &str)], actions: &[&str]) -> String {
    let output = Command::new(&*PROBE)
        .env_clear()
        .envs(env.iter().copied())
        .args(actions)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}

#[test]
fn the_constructor_starts_the_library_from_the_environment() {
    let text = probe(
        &[("VACCEL_PLUGINS", path(&PLUGIN))],
        &["state", "init", "noop", "release"],
    );
    assert!(
        text.starts_with("initialized=1 profiling=0 level=1 rundir=/"),
        "{text}"
    );
    assert!(
        text.contains("init=VACCEL_OK \nnoop=VACCEL_OK \nrelease=VACCEL_OK"),
        "{text}"
    );
}

#[test]
fn a_plugin_that_is_missing_does_not_end_the_process_and_is_explained_later() {
    let text = probe(
        &[("VACCEL_PLUGINS", "no-such-plugin")],
        &["state", "init", "noop"],
    );
    assert!(text.contains("initialized=0"), "{text}");
    for call in ["init", "noop"] {
        let line = text
            .lines()
            .find(|l| l.starts_with(&format!("{call}=")))
            .unwrap();
        assert!(line.starts_with(&format!("{call}=VACCEL_ESESS")), "{line}");
        assert!(line.contains("`no-such-plugin`"), "{line}");
        assert!(line.contains("VACCEL_PLUGIN_PATH"), "{line}");
    }
}

#[test]
fn plugins_are_found_beside_the_library_and_in_the_plugin_path() {
    LazyLock::force(&PLUGIN);
    // By word and by file name, beside the library.
    for name in ["probed", "libvaccel-probed.so", " probed : "] {
        let text = probe(&[("VACCEL_PLUGINS", name)], &["init", "noop"]);
        assert!(text.contains("noop=VACCEL_OK"), "{name}: {text}");
    }
    // In its folder `vaccel`, in a folder of the path, and under Cargo's name.
    let places = [
        ("vaccel", "libvaccel-placed1.so", "placed1"),
        ("elsewhere", "libvaccel-placed2.so", "placed2"),
        ("elsewhere", "libvaccel_placed_3.so", "placed-3"),
    ];
    let search = format!("/no/such/folder:{}", path(&folder().join("elsewhere")));
    for (place, file, word) in places {
        let to = folder().join(place);
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(&*PLUGIN, to.join(file)).unwrap();
        let env = [("VACCEL_PLUGINS", word), ("VACCEL_PLUGIN_PATH", &search)];
        let text = probe(&env, &["init", "noop"]);
        assert!(text.contains("noop=VACCEL_OK"), "{word}: {text}");
    }
}

#[test]
fn a_plugin_of_another_major_version_needs_to_be_asked_for() {
    let other = plugin("future", &["-DWANTS=\"7.0.0\""]);
    let text = probe(&[("VACCEL_PLUGINS", path(&other))], &["init"]);
    assert!(text.contains("init=VACCEL_ESESS"), "{text}");
    assert!(
        text.contains("7.0.0") && text.contains("VACCEL_VERSION_IGNORE"),
        "{text}"
    );
    let env = [
        ("VACCEL_PLUGINS", path(&other)),
        ("VACCEL_VERSION_IGNORE", "yes"),
    ];
    assert!(probe(&env, &["init"]).contains("init=VACCEL_OK"));
}

#[test]
fn what_a_plugin_says_about_its_failure_reaches_the_user() {
    let failing = plugin("failing", &["-DFAILING_INIT"]);
    let text = probe(&[("VACCEL_PLUGINS", path(&failing))], &["init"]);
    assert!(text.contains("the device is asleep; wake it"), "{text}");
}

#[test]
fn the_constructor_can_be_told_to_wait() {
    let env = [
        ("VACCEL_BOOTSTRAP_ENABLED", "0"),
        ("VACCEL_PLUGINS", path(&PLUGIN)),
    ];
    let text = probe(
        &env,
        &[
            "state",
            "init",
            "bootstrap",
            "init",
            "noop",
            "cleanup",
            "init",
        ],
    );
    let lines: Vec<_> = text.lines().filter(|l| !l.contains("<error>")).collect();
    assert!(lines[0].starts_with("initialized=0"), "{text}");
    assert!(lines[1].starts_with("init=VACCEL_ESESS"), "{text}");
    assert_eq!(
        lines[2..5],
        ["bootstrap=VACCEL_OK ", "init=VACCEL_OK ", "noop=VACCEL_OK "]
    );
    assert!(lines[6].starts_with("init=VACCEL_ESESS"), "{text}");
}

fn rundir(text: &str) -> PathBuf {
    let at = text.find("rundir=").unwrap() + "rundir=".len();
    text[at..].lines().next().unwrap().into()
}

#[test]
fn run_time_files_go_away_even_when_a_session_is_left_open() {
    let env = [("VACCEL_PLUGINS", path(&PLUGIN))];
    let text = probe(&env, &["state", "init", "sessdir"]);
    let folder = rundir(&text);
    assert!(
        text.contains(&format!("sessdir={}/session.1", path(&folder))),
        "{text}"
    );
    assert!(!folder.exists(), "{text}");

    let text = probe(&[("VACCEL_CLEANUP_ENABLED", "0")], &["state"]);
    let folder = rundir(&text);
    assert!(folder.exists(), "{text}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn without_a_folder_of_the_user_the_fallbacks_are_used() {
    // SAFETY: no preconditions.
    let uid = unsafe { libc::getuid() };
    if Path::new(&format!("/run/user/{uid}")).exists() {
        let own = rundir(&probe(&[], &["state"]));
        assert!(
            own.starts_with(format!("/run/user/{uid}/vaccel")),
            "{own:?}"
        );
        return;
    }
    let base = folder().join("runtime");
    std::fs::create_dir_all(&base).unwrap();
    let text = probe(&[("XDG_RUNTIME_DIR", path(&base))], &["state"]);
    assert!(rundir(&text).starts_with(base.join("vaccel")), "{text}");
    let env = [
        ("XDG_RUNTIME_DIR", "/no/such/folder"),
        ("TMPDIR", path(&base)),
    ];
    let text = probe(&env, &["state"]);
    assert_eq!(rundir(&text).parent().unwrap(), base, "{text}");
    let env = [("XDG_RUNTIME_DIR", "/proc"), ("TMPDIR", "/proc")];
    let text = probe(&env, &["state"]);
    assert!(rundir(&text).starts_with("/tmp"), "{text}");
}

/// Runs the probe where no file system can be written to.
fn probe_read_only(actions: &[&str]) -> Option<String> {
    // Each mount of its own, because a bind mount does not take those below along.
    let script = "for m in $(cut -d' ' -f5 /proc/self/mountinfo); do \
                  mount -o remount,ro,bind \"$m\" 2>/dev/null || mount --bind -o ro \"$m\" \"$m\" 2>/dev/null; \
                  done; touch /tmp/writable 2>/dev/null && { rm /tmp/writable; exit 77; }; exec \"$@\"";
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(&*PROBE)
        .args(actions)
        .env("VACCEL_PLUGINS", path(&PLUGIN))
        .env_remove("TMPDIR")
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && text.is_empty() {
        eprintln!(
            "skipped: no namespace of our own: {} {errors}",
            output.status
        );
        return None;
    }
    Some(text)
}

#[test]
fn where_nothing_can_be_written_what_lives_in_memory_works() {
    let actions = [
        "state", "init", "sessdir", "noop", "memory", "file", "release",
    ];
    let Some(text) = probe_read_only(&actions) else {
        return;
    };
    for line in [
        "initialized=1 profiling=0 level=1 rundir=(none)",
        "init=VACCEL_OK",
        "sessdir=\n",
        "noop=VACCEL_OK",
        "memory=VACCEL_OK",
        "unregistered=VACCEL_OK",
        "release=VACCEL_OK",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let file = text.lines().find(|line| line.starts_with("file=")).unwrap();
    assert!(file.contains("VACCEL_EROFS"), "{file}");
    assert!(file.contains("/tmp") && file.contains("TMPDIR"), "{file}");
}

#[test]
fn a_child_made_by_fork_has_files_of_its_own_and_leaves_its_parents() {
    let env = [("VACCEL_PLUGINS", path(&PLUGIN))];
    let text = probe(&env, &["fork", "init", "noop"]);
    assert!(text.contains("child init=0 elsewhere=1"), "{text}");
    assert!(text.contains("child status=0 rundir is there=1"), "{text}");
    assert!(text.contains("noop=VACCEL_OK"), "{text}");
}

#[test]
fn words_are_understood_as_switches_and_levels() {
    let env = [
        ("VACCEL_PLUGINS", path(&PLUGIN)),
        ("VACCEL_PROFILING_ENABLED", "true"),
        ("VACCEL_LOG_LEVEL", "info"),
    ];
    let text = probe(&env, &["state", "init", "noop", "noop"]);
    assert!(text.contains("profiling=1 level=3"), "{text}");
    let line = text
        .lines()
        .find(|l| l.contains("[prof] vaccel_noop: "))
        .unwrap();
    assert!(line.contains(" - <info> [prof]"), "{line}");
    assert!(
        line.contains("total_time: ") && line.ends_with("nr_entries: 2"),
        "{line}"
    );
}

#[test]
fn an_absolute_log_file_gets_the_lines() {
    let prefix = folder().join("absolute");
    let env = [
        ("VACCEL_LOG_FILE", path(&prefix)),
        ("VACCEL_LOG_LEVEL", "debug"),
    ];
    let text = probe(&env, &["state"]);
    assert!(!text.contains("<debug>"), "{text}");
    let is_log = |name: &str| name.starts_with("absolute-2") && name.ends_with(".log");
    let log = std::fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .find(|p| is_log(p.file_name().unwrap().to_str().unwrap()))
        .unwrap();
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains(" - <debug> ")
    );
}

#[test]
fn deprecated_names_still_work() {
    let output = Command::new(&*PROBE)
        .env_clear()
        .env("VACCEL_BACKENDS", &*PLUGIN)
        .env("VACCEL_DEBUG_LEVEL", "2")
        .args(["state", "init"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("level=2") && text.contains("init=VACCEL_OK"),
        "{text}"
    );
    for (old, new) in [
        ("VACCEL_BACKENDS", "VACCEL_PLUGINS"),
        ("VACCEL_DEBUG_LEVEL", "VACCEL_LOG_LEVEL"),
    ] {
        let warning = format!("Warning: {old} is deprecated. Use {new} instead.");
        assert!(warnings.contains(&warning), "{warnings}");
    }
}

#[test]
fn the_static_library_starts_by_itself_too() {
    let archive = common::profile_dir().join("libvaccel.a");
    LazyLock::force(&PLUGIN);
    assert!(library().exists() && archive.exists());
    let program = folder().join("static");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Command::new("cc")
        .arg("-o")
        .arg(&program)
        .arg("-I")
        .arg(manifest.join("../../include"))
        .arg(manifest.join("tests/c/probe.c"))
        .arg(archive)
        .args(["-lpthread", "-ldl", "-lm"])
        .status()
        .unwrap();
    assert!(status.success());
    let output = Command::new(program)
        .env_clear()
        .args(["init", "state"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("init=VACCEL_ENOTSUP no plugin is loaded"),
        "{text}"
    );
    assert!(text.contains("initialized=1"), "{text}");
    assert!(!rundir(&text).exists(), "{text}");
}
