//! Random scripts for two hostile clients and one honest one.
//!
//! A script follows from a seed. It is run against a real agent with real workers; when
//! something that was promised does not hold, it is cut down to the shortest part that
//! still shows it ([`shrink`]), which is what a test prints.

use super::{Held, Honest, Host, Ids, Random, Raw, Scanner, TEMPLATES, mutate, request};
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::time::Duration;

/// The honest client's number; 0 and 1 are hostile.
const HONEST: usize = 2;

/// What one client does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Who does it; what; the seed of its choices; bytes.
pub enum Step {
    /// A hostile client comes, with shared memory (1) and rings (2), or goes and comes again.
    Come { who: usize, memory: usize },
    /// It hangs up in whatever it is doing.
    Go { who: usize },
    /// It says that nothing more comes.
    HalfClose { who: usize },
    /// It sends a request as it should be.
    Valid { who: usize, which: usize, seed: u64 },
    /// It sends one with some bytes changed.
    Mutated { who: usize, which: usize, seed: u64 },
    /// It names sessions and resources of others.
    Foreign { who: usize, which: usize, seed: u64 },
    /// The header says other lengths and counts than there are.
    Lie { who: usize, seed: u64 },
    /// It sends a part of a frame.
    Half { who: usize, which: usize, seed: u64 },
    /// It sends bytes without any sense.
    Noise { who: usize, seed: u64 },
    /// It changes shared memory under the worker: words of the rings, or arguments in use.
    Scribble { who: usize, seed: u64 },
    /// The honest client computes, and looks at the result.
    Honest { len: usize, seed: u64 },
    /// The honest client sends a resource, and fetches it again.
    HonestResource { len: usize },
}

/// What a script has shown.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    /// Bytes that hostile clients have received and that were searched.
    pub searched: u64,
    /// Markers of other tenants in them.
    pub foreign: u64,
    /// Results of the honest client, all right.
    pub honest: u64,
    /// Steps of hostile clients.
    pub hostile: u64,
}

/// A script of `len` steps.
#[must_use]
pub fn script(seed: u64, len: usize) -> Vec<Step> {
    let mut random = Random(seed);
    (0..len).map(|_| step(&mut random)).collect()
}

fn step(random: &mut Random) -> Step {
    let who = random.below(2);
    let which = random.below(TEMPLATES);
    let seed = random.number();
    match random.below(20) {
        0 => Step::Come {
            who,
            memory: random.below(3),
        },
        1 => Step::Go { who },
        2 => Step::HalfClose { who },
        3..=7 => Step::Valid { who, which, seed },
        8..=10 => Step::Mutated { who, which, seed },
        11 | 12 => Step::Foreign { who, which, seed },
        13 => Step::Lie { who, seed },
        14 => Step::Half { who, which, seed },
        15 => Step::Noise { who, seed },
        16 => Step::Scribble { who, seed },
        17 => Step::HonestResource {
            len: 1 + random.below(100_000),
        },
        _ => Step::Honest {
            len: [0, 1, 63, 4096, 20_000, 300_000][random.below(6)],
            seed,
        },
    }
}

/// A hostile client between two steps.
struct Enemy {
    raw: Option<Raw>,
    rings: bool,
    scanner: Scanner,
}

/// An agent and the clients of a script.
pub struct World {
    host: Host,
    honest: Honest,
    before: Held,
    enemies: [Enemy; 2],
}

impl World {
    /// Starts an agent with this isolation.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(prefix: &Path, isolation: &str) -> Result<Self> {
        let options = [
            "--isolation",
            isolation,
            "--deadline",
            "2s",
            "--log-level",
            "info",
        ];
        let host = Host::start(prefix, "noop,exec", &options, "")?;
        let honest = Honest::connect(&host.address(), HONEST, true)?;
        honest.check(4096, &mut Random(1))?;
        let enemy = |who| Enemy {
            raw: None,
            rings: false,
            scanner: Scanner::new(who, 3),
        };
        Ok(Self {
            before: host.at_rest(if isolation == "shared" { 1 } else { 2 })?,
            host,
            honest,
            enemies: [enemy(0), enemy(1)],
        })
    }

    /// Runs a script.
    ///
    /// # Errors
    /// The first promise that does not hold: a wrong or failed answer to the honest client,
    /// a byte of another tenant, an agent that ended.
    pub fn run(&mut self, script: &[Step]) -> Result<Seen> {
        let mut seen = Seen::default();
        for (i, step) in script.iter().enumerate() {
            self.take(*step, &mut seen)
                .with_context(|| format!("step {i}: {step:?}"))?;
            let foreign: u64 = self.enemies.iter().map(|e| e.scanner.found).sum();
            ensure!(
                foreign == 0,
                "step {i}: {step:?}: bytes of another tenant were received"
            );
        }
        for enemy in &mut self.enemies {
            if let Some(raw) = &mut enemy.raw {
                raw.drain(&mut enemy.scanner, Duration::from_millis(30));
            }
            seen.searched += enemy.scanner.searched;
            seen.foreign += enemy.scanner.found;
        }
        ensure!(
            seen.foreign == 0,
            "bytes of another tenant were received at the end"
        );
        ensure!(self.host.is_running(), "the agent has ended");
        Ok(seen)
    }

    /// The hostile clients hang up; what they had is given back.
    ///
    /// # Errors
    /// What is still held.
    pub fn settle(&mut self) -> Result<()> {
        self.enemies.iter_mut().for_each(|enemy| enemy.raw = None);
        self.host.settles(self.before, Duration::from_secs(20))?;
        self.honest.check(4096, &mut Random(2))
    }

    fn take(&mut self, step: Step, seen: &mut Seen) -> Result<()> {
        match step {
            Step::Honest { len, seed } => {
                self.honest.check(len, &mut Random(seed))?;
                seen.honest += 1;
                return Ok(());
            }
            Step::HonestResource { len } => {
                self.honest.check_resource(len)?;
                seen.honest += 1;
                return Ok(());
            }
            Step::Come { who, memory } => return self.come(who, memory),
            _ => {}
        }
        seen.hostile += 1;
        let who = step.who();
        if self.enemies[who].raw.is_none() {
            self.come(who, who)?;
        }
        let foreign = self.honest.session();
        let enemy = &mut self.enemies[who];
        let Some(raw) = &mut enemy.raw else {
            return Ok(());
        };
        let ids = Ids {
            tenant: who,
            session: raw.session,
            resource: 1,
            shared: raw.has_memory(),
        };
        let alive = match step {
            Step::Go { .. } => false,
            Step::HalfClose { .. } => {
                raw.half_close();
                raw.drain(&mut enemy.scanner, Duration::from_millis(2))
            }
            Step::Scribble { seed, .. } => {
                scribble(raw, seed, ids);
                raw.drain(&mut enemy.scanner, Duration::from_millis(1))
            }
            _ => {
                let bytes = words(step, raw, ids, foreign);
                if enemy.rings {
                    raw.say_in_ring(&bytes[..bytes.len().min(4096)]);
                } else {
                    raw.say(&bytes);
                }
                raw.drain(&mut enemy.scanner, Duration::from_millis(1))
            }
        };
        if !alive {
            enemy.raw = None;
        }
        Ok(())
    }

    /// A hostile client comes; it may find no room, never a dead agent.
    fn come(&mut self, who: usize, memory: usize) -> Result<()> {
        self.enemies[who].raw = None;
        let rings = memory == 2;
        let mut raw = Raw::open(&self.host, memory > 0, rings)
            .context("the agent does not let a further client in")?;
        if !rings {
            raw.open_session(who)
                .context("a first request is not answered")?;
        }
        self.enemies[who].raw = Some(raw);
        self.enemies[who].rings = rings;
        Ok(())
    }
}

impl Step {
    fn who(self) -> usize {
        match self {
            Self::Come { who, .. }
            | Self::Go { who }
            | Self::HalfClose { who }
            | Self::Valid { who, .. }
            | Self::Mutated { who, .. }
            | Self::Foreign { who, .. }
            | Self::Lie { who, .. }
            | Self::Half { who, .. }
            | Self::Noise { who, .. }
            | Self::Scribble { who, .. } => who,
            Self::Honest { .. } | Self::HonestResource { .. } => HONEST,
        }
    }
}

/// What a step says.
fn words(step: Step, raw: &mut Raw, ids: Ids, foreign: i64) -> Vec<u8> {
    let number = raw.next_request();
    match step {
        Step::Valid { which, seed, .. } => request(which, number, ids, &mut Random(seed)),
        Step::Mutated { which, seed, .. } => {
            let mut random = Random(seed);
            let mut bytes = request(which, number, ids, &mut random);
            mutate(&mut bytes, &mut random);
            bytes
        }
        Step::Foreign { which, seed, .. } => {
            let mut random = Random(seed);
            let near = random.below(16) as i64;
            let ids = Ids {
                session: [foreign, near, ids.session + 1, i64::MIN][random.below(4)],
                resource: [foreign, near, -1, 0][random.below(4)],
                ..ids
            };
            request(which, number, ids, &mut random)
        }
        Step::Lie { seed, .. } => {
            let mut random = Random(seed);
            let which = random.below(TEMPLATES);
            let mut bytes = request(which, number, ids, &mut random);
            // Counts, length of the meta, length of the payload.
            let (at, width) = [(24, 2), (26, 2), (28, 4), (32, 8)][random.below(4)];
            let lie = [random.number() % 64, 1 << random.below(40), u64::MAX][random.below(3)];
            if let Some(field) = bytes.get_mut(at..at + width) {
                field.copy_from_slice(&lie.to_le_bytes()[..width]);
            }
            bytes
        }
        Step::Half { which, seed, .. } => {
            let mut random = Random(seed);
            let mut bytes = request(which, number, ids, &mut random);
            bytes.truncate(random.below(bytes.len()));
            bytes
        }
        Step::Noise { seed, .. } => {
            let mut random = Random(seed);
            (0..1 + random.below(300))
                .map(|_| random.number() as u8)
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Asks for an operation on shared memory and changes it at the same time.
fn scribble(raw: &mut Raw, seed: u64, ids: Ids) {
    let mut random = Random(seed);
    let number = raw.next_request();
    let bytes = request(15, number, ids, &mut random);
    raw.say(&bytes);
    for _ in 0..200 {
        let at = match random.below(3) {
            0 => [0, 64, 128, 256, 320, 384][random.below(6)],
            1 => 4096 + random.below(8192),
            _ => 12288 + random.below(60_000),
        };
        raw.scribble(at, &random.number().to_le_bytes());
    }
    raw.say(&[0]);
}

/// Runs a script against an agent of its own.
///
/// # Errors
/// As [`World::run`] and [`World::settle`].
pub fn once(prefix: &Path, isolation: &str, script: &[Step]) -> Result<Seen> {
    let mut world = World::start(prefix, isolation)?;
    let seen = world.run(script)?;
    world.settle()?;
    Ok(seen)
}

/// The shortest part of a failing script that still fails, and how. Each try starts an agent,
/// so that at most `tries` are made.
#[must_use]
pub fn shrink(
    script: Vec<Step>,
    tries: usize,
    mut fails: impl FnMut(&[Step]) -> Option<String>,
) -> (Vec<Step>, String) {
    let mut best = (script, String::new());
    let mut left = tries;
    let mut size = best.0.len().div_ceil(2);
    while size > 0 && left > 0 {
        let mut at = 0;
        let mut cut = false;
        while at < best.0.len() && left > 0 {
            let mut shorter = best.0.clone();
            shorter.drain(at..(at + size).min(shorter.len()));
            left -= 1;
            if let Some(why) = fails(&shorter) {
                best = (shorter, why);
                cut = true;
            } else {
                at += size;
            }
        }
        if !cut {
            size /= 2;
        }
    }
    best
}

/// Runs one script of each seed; the sum of what was seen.
///
/// # Errors
/// The seed, the shortest script that fails, and how.
pub fn explore(prefix: &Path, isolation: &str, seeds: &[u64], len: usize) -> Result<Seen> {
    let mut total = Seen::default();
    for seed in seeds {
        let steps = script(*seed, len);
        match once(prefix, isolation, &steps) {
            Ok(seen) => {
                total.searched += seen.searched;
                total.foreign += seen.foreign;
                total.honest += seen.honest;
                total.hostile += seen.hostile;
            }
            Err(first) => {
                let (shortest, why) = shrink(steps, 40, |part| {
                    once(prefix, isolation, part)
                        .err()
                        .map(|e| format!("{e:#}"))
                });
                bail!(
                    "seed {seed}, isolation {isolation}: {first:#}\nthe shortest script found: \
                     {shortest:#?}\nfails with: {why}"
                );
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_follows_from_its_seed() {
        assert_eq!(script(7, 50), script(7, 50));
        assert_ne!(script(7, 50), script(8, 50));
    }

    #[test]
    fn a_failing_script_is_cut_down_to_what_makes_it_fail() {
        let bad = |step: &Step| matches!(step, Step::Go { who: 1 });
        let steps = script(3, 200);
        assert!(steps.iter().any(bad));
        let fails = |part: &[Step]| part.iter().any(bad).then(|| "it goes".to_owned());
        let (shortest, why) = shrink(steps, 1000, fails);
        assert_eq!(
            (shortest, why.as_str()),
            (vec![Step::Go { who: 1 }], "it goes")
        );
    }
}
