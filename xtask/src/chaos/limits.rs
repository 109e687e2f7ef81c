//! What runs out: disk, memory, descriptors. And a clock that jumps.

use super::{Chaos, OPTIONS, wait};
use crate::bench::figure::Figure;
use crate::process;
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use vaccel_tests::hostile::{Honest, Host, Ids, Random, Raw, Watch, request, shim};
use vaccel_wire::{Header, Kind};

/// A namespace of its own in which the run-time folder is a file system of 8 MiB.
const SMALL_DISK: &str = "exec unshare -m --propagation private sh -c 'mount -t tmpfs -o size=8m tmpfs \"$DIR/run\" && exec \"$@\"' sh \"$@\"";

fn in_namespace(host: &Host, arguments: &[&str]) -> Result<()> {
    let id = host.id().to_string();
    process::run(
        Command::new("nsenter")
            .args(["-t", &id, "-m"])
            .args(arguments),
    )
}

pub(super) fn full_disk(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene_with(&[], SMALL_DISK)?;
    let run = scene.host.folder().join("run");
    let full = run.join("full");
    let full = full.to_str().context("a strange path")?;
    // Everything that is left, so that not even a folder can be made.
    let fill = format!("dd if=/dev/zero of={full} bs=4k 2>/dev/null; true");
    in_namespace(&scene.host, &["sh", "-c", &fill])?;
    scene.goes_on()?;
    let upload = Honest::connect(&scene.host.address(), 0, true)
        .and_then(|client| client.check_file(4 << 20));
    let error = upload.err().context("4 MiB found room on a full disk")?;
    ensure!(!format!("{error:#}").contains("wrong"), "{error:#}");
    scene.goes_on()?;
    in_namespace(&scene.host, &["rm", full])?;
    wait("there is room again", || {
        Honest::connect(&scene.host.address(), 0, true)
            .and_then(|client| client.check_file(1 << 20))
            .is_ok()
    })?;
    scene.ends().map(drop)
}

pub(super) fn read_only(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene_with(&[], SMALL_DISK)?;
    let run = scene.host.folder().join("run");
    let run = run.to_str().context("a strange path")?;
    // Over what is there: a file system in which files are open for writing stays as it is.
    in_namespace(&scene.host, &["mount", "--bind", run, run])?;
    in_namespace(&scene.host, &["mount", "-o", "remount,bind,ro", run])?;
    scene.goes_on()?;
    // Who comes now may be served by the worker that is ready, or be told why not.
    for _ in 0..3 {
        if let Ok(client) = Honest::connect(&scene.host.address(), 0, true) {
            let _ = client.check(100, &mut Random(1));
        }
    }
    scene.goes_on()?;
    in_namespace(&scene.host, &["umount", run])?;
    wait("new clients are served again", || {
        Honest::connect(&scene.host.address(), 0, true)
            .and_then(|client| client.check(4000, &mut Random(2)))
            .is_ok()
    })?;
    scene.ends().map(drop)
}

pub(super) fn out_of_memory(chaos: &mut Chaos) -> Result<()> {
    // Address space of each process, KiB: enough for a worker, too little for one giant frame.
    let scene = chaos.scene_with(
        &["--max-shared", "0", "--max-frame", "4G"],
        "ulimit -v 1500000",
    )?;
    for _ in 0..chaos.rounds(20, 3) {
        let mut raw = Raw::open(&scene.host, false, false)?;
        let mut header = Header::bare(Kind::Request, 0, 7, 0);
        header.payload_len = 3 << 30;
        raw.say(&header.encode());
        let mut scanner = vaccel_tests::hostile::Scanner::new(0, 3);
        wait("the request is answered", || {
            let alive = raw.drain(&mut scanner, Duration::from_millis(20));
            scanner.searched > 0 || !alive
        })?;
    }
    scene.ends().map(drop)
}

pub(super) fn no_descriptors(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene_with(
        &["--isolation", "shared", "--max-connections", "1000"],
        "ulimit -n 64",
    )?;
    let mut many = Vec::new();
    for _ in 0..150 {
        // They find no room at some point, and are told or hung up on.
        many.extend(std::os::unix::net::UnixStream::connect(scene.host.socket()));
    }
    let open: Vec<Raw> = (0..80)
        .map_while(|_| Raw::open(&scene.host, true, false).ok())
        .collect();
    scene.goes_on()?;
    drop((many, open));
    wait("new clients are served again", || {
        Honest::connect(&scene.host.address(), 0, true)
            .and_then(|client| client.check(4000, &mut Random(2)))
            .is_ok()
    })?;
    scene.ends().map(drop)
}

pub(super) fn clock_jumps(chaos: &mut Chaos) -> Result<()> {
    let shim = shim()?.to_str().context("a strange path")?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), 0_i64.to_le_bytes())?;
    let clock = file.path().to_str().context("a strange path")?;
    let prepare = format!("export VACCEL_CHAOS_CLOCK={clock} LD_PRELOAD={shim}");
    let options = [
        "--env",
        "LD_PRELOAD",
        "--env",
        "VACCEL_CHAOS_CLOCK",
        "--jail-read",
        shim,
        "--jail-read",
        clock,
    ];
    let scene = chaos.scene_with(&options, &prepare)?;
    let year = 365 * 86_400_i64;
    for jump in [10 * year, -10 * year, 3600, -3600, 1, -1, 0] {
        use std::os::unix::fs::FileExt;
        let all = std::fs::File::options().write(true).open(file.path())?;
        // In place: the agent and its workers have the file mapped.
        all.write_all_at(&jump.to_le_bytes(), 0)?;
        scene.goes_on()?;
        let client = Honest::connect(&scene.host.address(), 0, true)?;
        client.check(4000, &mut Random(1))?;
        client.check_resource(100_000)?;
        let begin = std::time::Instant::now();
        let limit = Duration::from_millis(200);
        let late = client.exec("sleep_for", &5000_u32.to_le_bytes(), 8, Some(limit));
        let took = begin.elapsed();
        ensure!(
            late.is_err() && took < limit + Duration::from_millis(200),
            "{took:?} at {jump} s"
        );
    }
    scene.ends().map(drop)
}

/// Bytes that the quota of the hostile client below allows, with its worker's own memory apart.
const FRAME: u64 = 16 << 20;
const RESOURCES: u64 = 32 << 20;
const SHARED: u64 = 16 << 20;

pub(super) fn memory_quota(chaos: &mut Chaos) -> Result<()> {
    let options = [
        "--max-frame",
        "16M",
        "--max-resources",
        "32M",
        "--max-shared",
        "16M",
        "--max-in-flight",
        "16",
    ];
    let all: Vec<&str> = OPTIONS.iter().chain(&options).copied().collect();
    let host = Host::start(&chaos.prefix, "noop,exec", &all, "")?;
    let watch = Watch::start(&host.address(), 2)?;
    wait("a worker is ready", || host.workers().len() == 2)?;
    let idle = host.workers();
    let base = idle.iter().map(|w| resident(*w)).max().unwrap_or(0);
    let worst = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let honest: Vec<u32> = idle.clone();
    std::thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // The worker that was ready serves the hostile client; the honest one's is small.
                for worker in &honest {
                    worst.fetch_max(resident(*worker), Ordering::Relaxed);
                }
                for worker in host.workers() {
                    worst.fetch_max(resident(worker), Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let result = fill(&host, chaos.rounds(20, 4));
        over.store(true, Ordering::Relaxed);
        result
    })?;
    watch.finish()?;
    let quota = (2 * FRAME + RESOURCES + SHARED) >> 10;
    let grown = worst.load(Ordering::Relaxed).saturating_sub(base);
    let share = grown as f64 / quota as f64;
    chaos.figures.push(
        Figure::plain("memory of a hostile client, of its quota", share, "")
            .wanted("<= 1.1".into(), share <= 1.1)
            .with_note(format!(
                "{grown} KiB beside the worker's own {base} KiB; the quota is {quota} KiB: twice a frame, resources, shared memory"
            )),
    );
    Ok(())
}

/// Resident memory of a process, KiB; what it shares with the client counts whole.
fn resident(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("VmRSS:"))
        .filter_map(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

/// A client that takes all that it can get in every way.
fn fill(host: &Host, rounds: usize) -> Result<()> {
    let mut raw = Raw::open(host, true, false)?;
    raw.open_session(0)?;
    let ids = Ids {
        session: raw.session,
        shared: true,
        ..Ids::default()
    };
    let mut random = Random(0xf111);
    let mut scanner = vaccel_tests::hostile::Scanner::new(0, 3);
    for _ in 0..rounds {
        // Resources that never end, kept tensors, regions; many of each.
        for which in [4, 11, 16, 14, 13] {
            for _ in 0..100 {
                let number = raw.next_request();
                raw.say(&request(which, number, ids, &mut random));
            }
            raw.drain(&mut scanner, Duration::from_millis(1));
        }
        // Outputs as large as they may be.
        let mut header = Header::bare(Kind::Request, 0, raw.next_request(), raw.session);
        header.payload_len = FRAME - (1 << 16);
        let mut giant = Raw::open(host, false, false)?;
        giant.say(&header.encode());
        giant.say(&vec![1; (FRAME as usize) - (1 << 17)]);
        giant.drain(&mut scanner, Duration::from_millis(1));
    }
    Ok(())
}
