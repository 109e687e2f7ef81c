//! Signals to workers, clients and the agent; connections that break.

use super::{Chaos, OPTIONS, Scene, wait};
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use vaccel_tests::Program;
use vaccel_tests::hostile::{Honest, Host, Ids, Random, Raw, TEMPLATES, Watch, request};
use vaccel_wire::{Header, Hello, Kind};

fn signal(process: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(process.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// A victim in a call of its own, whose worker gets a signal in the middle of it.
fn in_mid_call(scene: &Scene, sent: Signal) -> Result<(Duration, String)> {
    let victim = Honest::connect(&scene.host.address(), 0, true)?;
    let worker = scene.host.worker_of(victim.number())?;
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            victim.exec(
                "sleep_for",
                &30_000_u32.to_le_bytes(),
                8,
                Some(Duration::from_millis(1500)),
            )
        });
        wait("the call runs", || sleeps(worker))?;
        let begin = Instant::now();
        signal(worker, sent);
        if sent == Signal::SEGV {
            // Rust's handler takes the first one that is no stack overflow as the last it is
            // there for, and returns; a real fault then happens again.
            wait("the worker has ended", || {
                // Looked at first: the number of one that has ended may soon be another's.
                let ended = call.is_finished() || !scene.host.workers().contains(&worker);
                if !ended {
                    signal(worker, sent);
                }
                ended
            })?;
        }
        let result = call
            .join()
            .map_err(|_| anyhow::anyhow!("the victim panicked"))?;
        let took = begin.elapsed();
        if sent == Signal::STOP {
            signal(worker, Signal::CONT);
        }
        let error = result
            .err()
            .context("the call succeeded although its worker was gone")?;
        Ok((took, format!("{error:#}")))
    })
}

/// True while a thread of the process is in a sleep that the test library asked for.
fn sleeps(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    tasks.into_iter().flatten().flatten().any(|task| {
        std::fs::read_to_string(task.path().join("wchan"))
            .is_ok_and(|place| place.contains("nanosleep"))
            // Where the kernel does not tell the place, the system call.
            || std::fs::read_to_string(task.path().join("syscall"))
                .is_ok_and(|call| sleep_calls().iter().any(|start| call.starts_with(start)))
    })
}

/// How the line of a thread begins that is in one of the calls that sleep.
fn sleep_calls() -> [String; 2] {
    [libc::SYS_nanosleep, libc::SYS_clock_nanosleep].map(|number| format!("{number} "))
}

fn worker_dies(chaos: &mut Chaos, sent: Signal) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(20, 3) {
        let (took, error) = in_mid_call(&scene, sent)?;
        ensure!(
            took < Duration::from_millis(500),
            "the error came after {took:?}: {error}"
        );
    }
    scene.ends().map(drop)
}

pub(super) fn worker_killed(chaos: &mut Chaos) -> Result<()> {
    worker_dies(chaos, Signal::KILL)
}

pub(super) fn worker_segv(chaos: &mut Chaos) -> Result<()> {
    worker_dies(chaos, Signal::SEGV)
}

pub(super) fn worker_stopped(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(5, 1) {
        let (took, error) = in_mid_call(&scene, Signal::STOP)?;
        ensure!(
            took < Duration::from_millis(1600),
            "the error came after {took:?}: {error}"
        );
    }
    scene.ends().map(drop)
}

/// A program that calls an operation of a minute.
fn busy(chaos: &Chaos, host: &Host) -> Result<vaccel_tests::Running> {
    let library = vaccel_tests::hostile::library()?;
    Program::new(&chaos.prefix, "vaccel")
        // What it is given after it has gone.
        .env("VACCEL_RPC_TIMEOUT", "5")
        .args(["--remote", &host.address().to_string(), "exec"])
        .arg(library)
        .arg("loop_forever")
        .spawn()
}

pub(super) fn client_killed(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    for _ in 0..chaos.rounds(10, 2) {
        let known = scene.host.workers();
        let client = busy(chaos, &scene.host)?;
        wait("its worker is replaced", || {
            !scene.new_workers(&known).is_empty()
        })?;
        signal(client.id(), Signal::KILL);
        // In whatever state of its call.
        drop(client);
    }
    scene.ends().map(drop)
}

pub(super) fn client_stopped(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let known = scene.host.workers();
    let client = busy(chaos, &scene.host)?;
    wait("its worker is replaced", || {
        !scene.new_workers(&known).is_empty()
    })?;
    signal(client.id(), Signal::STOP);
    let other = Watch::start(&scene.host.address(), 1)?;
    wait("others are served", || other.calls() > 50)?;
    other.finish()?;
    scene.goes_on()?;
    signal(client.id(), Signal::KILL);
    signal(client.id(), Signal::CONT);
    drop(client);
    scene.ends().map(drop)
}

pub(super) fn agent_killed(chaos: &mut Chaos) -> Result<()> {
    let mut host = Host::start(&chaos.prefix, "noop,exec", &OPTIONS, "")?;
    for _ in 0..chaos.rounds(10, 2) {
        let client = Honest::connect(&host.address(), 0, true)?;
        client.check(4000, &mut Random(1))?;
        let mut all = host.workers();
        all.push(host.id());
        let began = std::thread::scope(|scope| {
            let call = scope.spawn(|| client.exec("sleep_for", &30_000_u32.to_le_bytes(), 8, None));
            wait("the call runs", || all.iter().any(|worker| sleeps(*worker)))?;
            let begin = Instant::now();
            host.end(Signal::KILL);
            let result = call
                .join()
                .map_err(|_| anyhow::anyhow!("the client panicked"))?;
            ensure!(
                result.is_err(),
                "the call succeeded although its agent was gone"
            );
            Ok(begin.elapsed())
        })?;
        ensure!(
            began < Duration::from_millis(500),
            "the error came after {began:?}"
        );
        wait("no process is left", || {
            all.iter().all(|pid| {
                std::fs::read_to_string(format!("/proc/{pid}/stat"))
                    .is_ok_and(|stat| !stat.contains(") Z "))
                    .eq(&false)
            })
        })?;
        host.start_again(&chaos.prefix, "noop,exec", &OPTIONS)?;
        Honest::connect(&host.address(), 0, true)?.check(4000, &mut Random(2))?;
    }
    let folders = std::fs::read_dir(host.folder().join("run"))?.flatten();
    let left = folders
        .filter(|f| f.file_name().to_string_lossy().starts_with("agent."))
        .count();
    ensure!(left == 1, "{left} folders of agents are left, one runs");
    Ok(())
}

pub(super) fn agent_stopped(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    scene.host.signal(Signal::STOP);
    let result = scene.goes_on();
    let late = std::thread::scope(|scope| {
        let late = scope.spawn(|| Honest::connect(&scene.host.address(), 1, true));
        let calls = scene.watch.calls();
        let served = wait("it is served all the time", || {
            scene.watch.calls() > calls + 20
        });
        scene.host.signal(Signal::CONT);
        let late = late
            .join()
            .map_err(|_| anyhow::anyhow!("the late client panicked"))?;
        served?;
        late
    })?;
    result?;
    late.check(4000, &mut Random(1))?;
    drop(late);
    scene.ends().map(drop)
}

pub(super) fn connections_cut(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let mut random = Random(0xc07);
    for round in 0..chaos.rounds(500, 40) {
        let mut raw = Raw::open(&scene.host, round % 3 > 0, round % 3 == 2)?;
        let ids = Ids {
            shared: raw.has_memory(),
            ..Ids::default()
        };
        let mut bytes: Vec<u8> = (0..4)
            .flat_map(|i| request(random.below(TEMPLATES), i, ids, &mut random))
            .collect();
        bytes.truncate(random.below(bytes.len()));
        if round % 3 == 2 {
            raw.say_in_ring(&bytes[..bytes.len().min(4096)]);
        } else {
            raw.say(&bytes);
        }
    }
    // And some in the middle of HELLO.
    let mut hello = Vec::new();
    Hello::new(1 << 20).encode(&mut hello)?;
    for cut in 0..hello.len() {
        UnixStream::connect(scene.host.socket())?.write_all(&hello[..cut])?;
    }
    scene.ends().map(drop)
}

pub(super) fn bytes_dripping(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&[])?;
    let mut slow: Vec<Raw> = (0..8)
        .map(|_| Raw::open(&scene.host, false, false))
        .collect::<Result<_>>()?;
    let mut hello = Vec::new();
    Hello::new(1 << 20).encode(&mut hello)?;
    let mut silent = UnixStream::connect(scene.host.socket())?;
    let bytes = request(13, 1, Ids::default(), &mut Random(1));
    let calls = scene.watch.calls();
    for i in 0..chaos.rounds(600, 100) {
        for raw in &mut slow {
            raw.say(&bytes[i % bytes.len()..][..1]);
        }
        let _ = silent.write_all(&hello[i.min(hello.len() - 1)..][..1]);
        std::thread::sleep(Duration::from_millis(5));
    }
    ensure!(
        scene.watch.calls() > calls + 50,
        "the honest tenant was held up"
    );
    drop((slow, silent));
    scene.ends().map(drop)
}

pub(super) fn giant_frames(chaos: &mut Chaos) -> Result<()> {
    let scene = chaos.scene(&["--isolation", "shared"])?;
    let worker = *scene.host.workers().first().context("no worker")?;
    let before = super::memory_of(worker);
    let mut header = Header::bare(Kind::Request, 0, 1, 0);
    header.payload_len = 1 << 30;
    let giants: Vec<Raw> = (0..chaos.rounds(50, 10))
        .map(|_| {
            let mut raw = Raw::open(&scene.host, false, false)?;
            raw.say(&header.encode());
            raw.say(&[0; 8192]);
            Ok(raw)
        })
        .collect::<Result<_>>()?;
    scene.goes_on()?;
    let grown = super::memory_of(worker).saturating_sub(before) / giants.len() as u64;
    // The kernel may give a huge page for the first byte.
    ensure!(
        grown < 2560,
        "each half-sent frame of 1 GiB takes {grown} KiB for 8 KiB that came"
    );
    drop(giants);
    scene.ends().map(drop)
}

pub(super) fn connects(chaos: &mut Chaos) -> Result<()> {
    for (isolation, all, quick) in [("shared", 9500, 300), ("connection", 500, 40)] {
        let scene = chaos.scene(&["--isolation", isolation])?;
        for round in 0..chaos.rounds(all, quick) {
            match round % 10 {
                0 => drop(Honest::connect(&scene.host.address(), 0, true)?),
                1 => drop(UnixStream::connect(scene.host.socket())?),
                n => drop(Raw::open(&scene.host, n % 2 == 0, n % 4 == 0)?),
            }
        }
        scene
            .ends()
            .with_context(|| format!("isolation {isolation}"))?;
    }
    Ok(())
}
