//! Damaged and hostile files: an error, never the end of the process, and no
//! more memory than a limit.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::Write;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Session, Tensor, data, trained};
use vaccel_plugin::Dtype;
use vaccel_plugin::code::{EFAULT, EINVAL, EIO, ENOENT, ENOTSUP, ERANGE};

/// Set in the child process that does the work: seed and number of files.
const WORK: &str = "VACCEL_TEST_DAMAGED";
/// Address space of the child.
const MEMORY: libc::rlim_t = 3 << 30;

/// Splitmix64: the same files for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn sound_files() -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(data(""))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    paths.sort();
    paths.push(trained("digits-8x8").join("model.onnx"));
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// A file with one kind of damage.
fn damage(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // The structure is in the first part of a file with weights; damage weights less often.
    let length = bytes.len();
    let place = |random: &mut Random| {
        if random.below(4) == 0 {
            random.below(length)
        } else {
            random.below(length.min(2000))
        }
    };
    match random.below(6) {
        0 => bytes.truncate(place(random)),
        1 => {
            let at = place(random);
            bytes[at] ^= 1 << random.below(8);
        }
        2 => {
            for _ in 0..1 + random.below(16) {
                let at = place(random);
                bytes[at] = random.next() as u8;
            }
        }
        3 => {
            let at = place(random);
            bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)];
        }
        4 => {
            // A piece is repeated somewhere else.
            let (from, to) = (place(random), place(random));
            let piece = bytes[from..(from + random.below(40)).min(length)].to_vec();
            bytes.splice(to..to, piece);
        }
        _ => {
            let at = place(random);
            bytes.drain(at..(at + 1 + random.below(8)).min(length));
        }
    }
    bytes
}

/// Loads a file and, if that succeeds, runs it on zeros. Any error will do that is
/// one of the documented codes.
fn load_and_run(bytes: &[u8], file: Option<&Path>) {
    let mut session = Session::new();
    match file {
        Some(file) => session.add_files(&[file]),
        None => session.add_memory(bytes),
    };
    let result = session.load(0, "threads=1").and_then(|()| {
        let info = session.info(0)?;
        let mut inputs = Vec::new();
        for port in &info.inputs {
            let (name, rest) = port.rsplit_once(": ").unwrap();
            let (dtype, shape) = rest.split_once(' ').unwrap();
            let shape: Vec<i64> = shape
                .trim_matches(['[', ']'])
                .split(", ")
                .filter(|d| !d.is_empty())
                .map(|d| d.parse::<i64>().unwrap())
                .map(|d| if d < 0 { 2 } else { d })
                .collect();
            let dtype = Dtype::from_name(dtype).unwrap();
            match dtype.bytes_for(&shape) {
                Some(size) if size < 1 << 24 => {
                    inputs.push(Tensor::new(name, dtype, &shape, &vec![0; size]));
                }
                // No program has a tensor of that size.
                _ => return Ok(()),
            }
        }
        let wanted: Vec<&str> = info
            .outputs
            .iter()
            .map(|port| port.rsplit_once(": ").unwrap().0)
            .collect();
        session.run(0, &inputs, &wanted).map(drop)
    });
    if let Err((code, text)) = result {
        assert!(
            [EINVAL, ENOTSUP, ERANGE, ENOENT, EIO].contains(&code),
            "{code}: {text}"
        );
        assert_ne!(code, EFAULT, "{text}");
        assert!(!text.is_empty());
    }
}

/// Does the work in the child; in the parent there is nothing to do.
#[test]
fn work_on_damaged_files() {
    let Ok(work) = std::env::var(WORK) else {
        return;
    };
    let (seed, count) = work.split_once(',').unwrap();
    let (seed, count): (u64, usize) = (seed.parse().unwrap(), count.parse().unwrap());
    // The engine's panics are expected and many.
    panic::set_hook(Box::new(|_| {}));
    let limit = libc::rlimit {
        rlim_cur: MEMORY,
        rlim_max: MEMORY,
    };
    // SAFETY: a live structure.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
    let files = sound_files();
    let trace = std::env::temp_dir().join(format!("vaccel-damaged-{seed}.onnx"));
    for number in 0..count {
        let mut random = Random(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let (path, sound) = &files[random.below(files.len())];
        let bytes = damage(sound, &mut random);
        // What was being read when the process ended.
        fs::write(&trace, &bytes).unwrap();
        let start = Instant::now();
        load_and_run(&bytes, (number % 2 == 0).then_some(trace.as_path()));
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{number}: {}",
            path.display()
        );
    }
    fs::remove_file(trace).unwrap();
}

#[test]
fn damaged_files_are_errors_and_the_process_lives_on() {
    let me = std::env::current_exe().unwrap();
    for (seed, count) in [(1, 1000), (2, 1000)] {
        let child = Command::new(&me)
            .args(["--exact", "work_on_damaged_files", "--nocapture"])
            .env(WORK, format!("{seed},{count}"))
            .env("RUST_BACKTRACE", "0")
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stderr);
        let end: String = text.lines().rev().take(5).collect::<Vec<_>>().join("\n");
        assert!(
            child.status.success(),
            "seed {seed}: {}: {end}",
            child.status
        );
    }
    std::io::stdout().flush().unwrap();
}

#[test]
fn files_that_ask_for_more_memory_than_there_is_are_refused() {
    for (name, wanted) in [
        (
            "huge-fill.onnx",
            "asks for a tensor of 1099511627776 elements (ConstantOfShape)",
        ),
        (
            "huge-tile.onnx",
            "asks for a tensor of 1099511627776 elements (Expand)",
        ),
        ("huge-range.onnx", "(Range)"),
        ("huge-resize.onnx", "10000000000 elements (Resize)"),
        (
            "huge-random.onnx",
            "makes a tensor of 1099511627776 elements (`y`)",
        ),
    ] {
        let mut session = Session::new();
        session.add_files(&[&data(name)]);
        let (code, text) = session.load(0, "").unwrap_err();
        assert_eq!(code, ERANGE, "{text}");
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn graphs_that_go_in_circles_or_too_deep_are_refused_and_deep_ones_run() {
    let load = |bytes: &[u8]| {
        let mut session = Session::new();
        session.add_memory(bytes);
        session.load(0, "").map(|()| session)
    };
    let (code, text) = load(&fs::read(data("circle.onnx")).unwrap()).err().unwrap();
    assert_eq!(code, EINVAL);
    assert!(text.contains("`a` is computed from itself"), "{text}");
    let session = load(&support::builder::chain(20_001)).unwrap();
    let y = session
        .run(0, &[Tensor::of("x", &[1], &[2.5_f32])], &["y"])
        .unwrap();
    assert_eq!(y[0].values::<f32>(), [-2.5]);
    let (code, text) = load(&support::builder::chain(60_000)).err().unwrap();
    assert_eq!(code, ERANGE, "{text}");
    let session = load(&support::builder::nested(10)).unwrap();
    let inputs = [
        Tensor::of("x", &[1], &[2.5_f32]),
        Tensor::new("c", Dtype::Bool, &[1], &[1]),
    ];
    assert_eq!(
        session.run(0, &inputs, &["t"]).unwrap()[0].values::<f32>(),
        [-2.5]
    );
    for depth in [17, 5_000] {
        let (code, text) = load(&support::builder::nested(depth)).err().unwrap();
        assert_eq!(code, EINVAL);
        assert!(text.contains("nested more than 16 deep"), "{text}");
    }
}
