//! What the operations of each session took, for clients that ask.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use vaccel_compat::message::{Profiler, Region, Sample};

/// Samples of one operation that are kept, the latest.
const MOST: usize = 1024;

type Regions = HashMap<&'static str, VecDeque<Sample>>;

/// Times of all sessions of a connection.
#[derive(Debug, Default)]
pub(super) struct Times {
    sessions: Mutex<HashMap<i64, Regions>>,
}

impl Times {
    /// Notes an operation that has just ended.
    pub(super) fn note(&self, session: i64, operation: &'static str, took: Duration) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = nanos(took);
        let sample = Sample {
            start: nanos(now.unwrap_or_default()).saturating_sub(time),
            time,
        };
        let mut sessions = self.lock();
        let regions = sessions.entry(session).or_default();
        let samples = regions.entry(operation).or_default();
        if samples.len() == MOST {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// What a session's operations took.
    pub(super) fn of(&self, session: i64) -> Profiler {
        let sessions = self.lock();
        let regions = sessions.get(&session).into_iter().flatten();
        let regions = regions.map(|(name, samples)| {
            let samples = samples.iter().cloned().collect();
            ((*name).to_owned(), Region { samples })
        });
        Profiler {
            component_name: "vaccel-agent".to_owned(),
            regions: regions.collect(),
        }
    }

    /// A session has gone.
    pub(super) fn forget(&self, session: i64) {
        self.lock().remove(&session);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Regions>> {
        // No step leaves the lists half done.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_samples_are_kept_until_their_session_goes() {
        let times = Times::default();
        for nanos in 0..MOST as u64 + 10 {
            times.note(1, "noop", Duration::from_nanos(nanos));
        }
        let samples = &times.of(1).regions["noop"].samples;
        assert_eq!(samples.len(), MOST);
        assert_eq!(samples[0].time, 10);
        assert!(samples[0].start > 0);
        assert!(times.of(2).regions.is_empty());
        times.forget(1);
        assert!(times.of(1).regions.is_empty());
    }
}
