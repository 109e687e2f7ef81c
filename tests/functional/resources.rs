//! Models on their way to an agent: sent once, whoever asks for them next.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use vaccel_plugin::testing::skipped;
use vaccel_tests::{Agent, Meter, Program, Run, reference_plugin, sample, stage};

fn classify(address: &str, model: &Path, cache: &Path) -> Run {
    let picture = sample("classify").unwrap();
    Program::new(&stage().unwrap(), "vaccel")
        .args(["--remote", address, "classify", "--json"])
        .arg(picture)
        .arg("--model")
        .arg(model)
        .env("VACCEL_CACHE", cache)
        .run()
        .unwrap()
}

#[test]
fn a_model_crosses_the_wire_once_and_a_changed_one_again() {
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, "onnx", &["tcp://127.0.0.1:0"], &[]).unwrap();
    let meter = Meter::start(&agent.addresses()[1]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (cache, model) = (folder.path().join("cache"), folder.path().join("model"));
    std::fs::create_dir(&model).unwrap();
    for name in ["model.onnx", "model.toml", "labels.txt"] {
        let from = prefix.join("share/vaccel/models/classify").join(name);
        std::fs::copy(from, model.join(name)).unwrap();
    }
    let file = model.join("model.onnx");
    let size = file.metadata().unwrap().len();
    let sent = |run: &dyn Fn() -> Run| {
        let before = meter.sent();
        let answer: serde_json::Value = serde_json::from_str(&run().success().unwrap()).unwrap();
        (meter.sent() - before, answer["files"][0]["result"].clone())
    };
    let ask = || classify(meter.address(), &model, &cache);
    let (first, answer) = sent(&ask);
    assert!(first > size, "{first} of {size} bytes");
    let (second, same) = sent(&ask);
    assert!(first - second >= size, "{first} bytes, then {second}");
    assert_eq!(answer, same);
    // One byte more at the end of the file: ONNX readers pass over unknown fields.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.extend_from_slice(&[0xfa, 0x3f, 0x01, 0x00]);
    std::fs::write(&file, &bytes).unwrap();
    let (third, _) = sent(&ask);
    assert!(third > size, "{third} of {size} bytes");
}

#[test]
fn memory_crosses_the_wire_once_and_is_the_same_afterwards() {
    let plugin = reference_plugin().unwrap();
    let plugin = plugin.to_str().unwrap();
    let prefix = stage().unwrap();
    let agent = Agent::start(&prefix, plugin, &["tcp://127.0.0.1:0"], &[]).unwrap();
    let meter = Meter::start(&agent.addresses()[1]).unwrap();
    let ask = |plugins: &str| {
        let before = meter.sent();
        let driver = env!("CARGO_BIN_EXE_conformance-driver");
        let text = Program::driver(driver, &["large-memory"])
            .unwrap()
            .env("VACCEL_PLUGINS", plugins)
            .env("VACCEL_RPC_ADDRESS", meter.address())
            .output()
            .unwrap();
        let line = text.lines().find(|line| line.starts_with('{')).unwrap();
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        (answer["value"].clone(), meter.sent() - before)
    };
    let (here, none) = ask(plugin);
    assert_eq!(none, 0);
    let (first, sent) = ask("rpc");
    assert_eq!(first, here);
    assert!(sent > 14_000_000, "{sent}");
    let (second, sent) = ask("rpc");
    assert_eq!(second, here);
    assert!(sent < 100_000, "{sent} bytes were sent again");
}

#[test]
fn a_file_above_4_gib_arrives_whole_also_where_it_cannot_be_mapped() {
    const LARGE: u64 = (4 << 30) + (64 << 20) + 77;
    let folder = tempfile::tempdir().unwrap();
    // The file itself has holes; the agent writes it once to its upload, once to its cache.
    let disk = rustix::fs::statvfs(folder.path()).unwrap();
    let (free, needed) = (disk.f_bavail * disk.f_frsize, 3 * LARGE);
    if free < needed {
        let reason = format!("the disk has {free} bytes, and {needed} are needed");
        skipped("a file above 4 GiB", &reason);
        return;
    }
    let path = folder.path().join("large.bin");
    let file = File::create(&path).unwrap();
    file.set_len(LARGE).unwrap();
    // What is cut at 32 bits, or shifted, shows.
    for (at, mark) in [(0, b"begin"), (4 << 30, b"after"), (LARGE - 5, b"close")] {
        file.write_all_at(mark, at).unwrap();
    }
    drop(file);
    let plugin = reference_plugin().unwrap();
    let agent = Agent::start(
        &stage().unwrap(),
        plugin.to_str().unwrap(),
        &["tcp://127.0.0.1:0"],
        &[],
    )
    .unwrap();
    let meter = Meter::start(&agent.addresses()[1]).unwrap();
    let driver = env!("CARGO_BIN_EXE_conformance-driver");
    // Where a process may have 2 GiB of addresses the file is as much too large as it is
    // where pointers have 32 bits.
    let ask = |plugins: &str, limit: &str| {
        let text = Program::at(Path::new("sh"))
            .args(["-c", &format!("{limit} exec {driver} large-file")])
            .env(
                "VACCEL_LIBRARY",
                stage().unwrap().join("lib/libvaccel.so.0"),
            )
            .env("VACCEL_PLUGINS", plugins)
            .env("VACCEL_RPC_ADDRESS", meter.address())
            .env("VACCEL_CACHE", folder.path().join("hashes"))
            .env("LARGE_FILE", &path)
            .output()
            .unwrap();
        let line = text.lines().find(|line| line.starts_with('{')).unwrap();
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(answer["error"].is_null(), "{answer}");
        answer["value"].clone()
    };
    let here = ask(plugin.to_str().unwrap(), "");
    assert!(here.to_string().contains(&LARGE.to_string()), "{here}");
    assert_eq!(ask("rpc", "ulimit -v 2097152;"), here);
    let sent = meter.sent();
    assert!(sent > LARGE, "{sent}");
    assert_eq!(ask("rpc", ""), here);
    assert!(meter.sent() - sent < 1 << 20, "it was sent again");
}
