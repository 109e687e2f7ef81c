//! Every target over its corpus and over mutations of it, without libFuzzer: runs on any
//! toolchain, the same each time.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use vaccel_fuzz_targets::TARGETS;
use vaccel_fuzz_targets::mutate::{Random, mutate};

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect()
}

#[test]
fn every_target_has_seeds_and_they_are_what_the_code_writes() {
    let seeds = vaccel_fuzz_targets::seeds::all();
    for (target, _) in TARGETS {
        assert!(
            seeds.iter().any(|seed| seed.0 == *target),
            "{target} has no seed"
        );
    }
    for (target, name, bytes) in &seeds {
        assert!(
            TARGETS.iter().any(|t| t.0 == *target),
            "{target} is no target"
        );
        if *name == "tail" {
            continue; // written once for each request
        }
        let file = format!(
            "{}/../../fuzz/corpus/{target}/seed-{name}",
            env!("CARGO_MANIFEST_DIR")
        );
        let there = fs::read(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(
            &there, bytes,
            "{file}: run `cargo run -p vaccel-fuzz-targets`"
        );
    }
}

#[test]
fn no_target_fails_on_its_corpus_or_on_mutations_of_it() {
    let rounds: usize = std::env::var("VACCEL_FUZZ_ROUNDS").map_or(3000, |n| n.parse().unwrap());
    for (target, function) in TARGETS {
        let corpus = corpus(target);
        for (file, bytes) in &corpus {
            eprintln!("{}", file.display());
            function(bytes);
        }
        let mut random = Random(0x5eed);
        for round in 0..rounds {
            let mut bytes = corpus[round % corpus.len()].1.clone();
            let other = &corpus[random.below(corpus.len())].1;
            mutate(&mut bytes, other, &mut random);
            eprintln!("{target}, round {round}");
            function(&bytes);
        }
    }
}
