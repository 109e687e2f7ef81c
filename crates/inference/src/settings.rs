//! Options of a model: those of the call that loads it, of the environment, of its
//! description, in this order.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::Duration;

use vaccel_plugin::abi::plugin::{PLUGIN_CPU, PLUGIN_GPU, PluginType};
use vaccel_plugin::{Options, Result, bail};
use vaccel_vision::Description;

use crate::batch::Batching;

/// More threads than this are a mistake.
const MAX_THREADS: usize = 256;
/// More pictures at once than this are a mistake.
const MAX_BATCH: usize = 4096;
/// Nobody who waits longer for others is served better by it.
const MAX_WINDOW_US: usize = 1_000_000;
/// A request waits so long for others where nothing else is said: about as long as a small model
/// runs.
const WINDOW_US: usize = 2_000;

/// Options that every backend knows.
const COMMON: &[&str] = &[
    "threads",
    "device",
    "precision",
    "batch",
    "max_batch",
    "batch_window_us",
    "backend",
    "prefer",
];

/// How a model is run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Threads that one run uses; 1 to 256.
    pub threads: usize,
    /// Device as the backend names it; empty: the backend's own choice.
    pub device: String,
    /// `f32`, `f16` or `bf16`: what the model is computed in; empty: f32 wherever the
    /// model does not say otherwise.
    pub precision: String,
    /// Length of an open first dimension; 0: it stays open.
    pub batch: usize,
    /// How requests of several callers are joined; `None`: each runs by itself.
    pub batching: Option<Batching>,
    /// Where nobody names a device, the GPU is to be taken if there is one.
    pub prefers_gpu: bool,
    /// Options of this backend alone.
    own: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            threads: available_threads(),
            device: String::new(),
            precision: String::new(),
            batch: 0,
            batching: None,
            prefers_gpu: false,
            own: Vec::new(),
        }
    }
}

impl Settings {
    /// Joins what a call asks for, `VACCEL_<BACKEND>_OPTIONS`, and the section `[run]` of
    /// a description; what comes first wins.
    ///
    /// # Errors
    /// `EINVAL` for an option that nobody knows, with those there are, and for a value
    /// that makes no sense.
    pub fn read(
        backend: &str,
        own: &[&str],
        call: &Options,
        description: Option<&Description>,
    ) -> Result<Self> {
        let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
        call.expect_only(&known)?;
        let variable = variable(backend);
        let environment = std::env::var(&variable).unwrap_or_default();
        let environment = Options::parse(&environment).map_err(|e| e.context(&variable))?;
        environment
            .expect_only(&known)
            .map_err(|e| e.context(&variable))?;
        let mut described = Vec::new();
        if let Some(run) = description.map(|description| &description.run) {
            let number = |n: Option<u32>| n.map(|n| n.to_string());
            for (key, value) in [
                ("threads", number(run.threads)),
                ("batch", number(run.batch)),
                ("max_batch", number(run.max_batch)),
                ("batch_window_us", number(run.batch_window_us)),
                ("device", run.device.clone()),
                ("precision", run.precision.clone()),
            ] {
                described.extend(value.map(|value| (key, value)));
            }
        }
        let find = |key: &str| {
            let described = || described.iter().find(|(k, _)| *k == key);
            call.get(key)
                .or_else(|| environment.get(key))
                .map(str::to_owned)
                .or_else(|| described().map(|(_, value)| value.clone()))
        };
        let number = |key: &str, most: usize| -> Result<Option<usize>> {
            let Some(text) = find(key) else {
                return Ok(None);
            };
            match text.parse::<usize>() {
                Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
                Ok(n) => bail!(EINVAL, "option `{key}`: {n} is not 1 to {most}"),
                Err(_) => bail!(EINVAL, "option `{key}`: `{text}` is not a number"),
            }
        };
        let precision = find("precision").unwrap_or_default();
        if !["", "f32", "f16", "bf16"].contains(&precision.as_str()) {
            bail!(
                EINVAL,
                "option `precision`: `{precision}` is not f32, f16 or bf16"
            );
        }
        let window = number("batch_window_us", MAX_WINDOW_US)?;
        let batching = number("max_batch", MAX_BATCH)?.map(|max_batch| Batching {
            max_batch,
            window: Duration::from_micros(window.unwrap_or(WINDOW_US) as u64),
        });
        if batching.is_none() && window.is_some() {
            bail!(EINVAL, "option `batch_window_us` needs `max_batch`");
        }
        if let Some(named) = call.get("backend").filter(|named| *named != backend) {
            bail!(
                EINVAL,
                "option `backend`: this session's models are run by `{backend}`; `{named}` can be \
                 had with VACCEL_PLUGINS={named}, or chosen with VACCEL_PLUGINS=auto"
            );
        }
        let prefers_gpu = match find("prefer").as_deref() {
            None | Some("" | "cpu") => false,
            Some("gpu") => true,
            Some(other) => bail!(EINVAL, "option `prefer`: `{other}` is not cpu or gpu"),
        };
        Ok(Self {
            prefers_gpu,
            threads: number("threads", MAX_THREADS)?.unwrap_or_else(available_threads),
            device: find("device").unwrap_or_default(),
            precision,
            batch: number("batch", MAX_BATCH)?.unwrap_or(0),
            batching,
            own: own
                .iter()
                .filter_map(|key| Some(((*key).to_owned(), find(key)?)))
                .collect(),
        })
    }

    /// Where nobody names a device: the GPU, if it is preferred or the flags of the session
    /// mean it, and if `find` finds one.
    pub(crate) fn take_gpu(&mut self, hint: PluginType, find: impl FnOnce() -> Option<String>) {
        let meant = hint & (PLUGIN_GPU | PLUGIN_CPU) == PLUGIN_GPU;
        // It has had its say, and makes no other model of the same one.
        let preferred = std::mem::take(&mut self.prefers_gpu);
        if self.device.is_empty()
            && (preferred || meant)
            && let Some(gpu) = find()
        {
            self.device = gpu;
        }
    }

    /// An option of this backend alone.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.own.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// A switch of this backend alone; off when it is not given.
    ///
    /// # Errors
    /// `EINVAL` for a value that is neither on nor off.
    pub fn switch(&self, key: &str) -> Result<bool> {
        match self.get(key) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true" | "") => Ok(true),
            Some(other) => bail!(EINVAL, "option `{key}`: `{other}` is not 0 or 1"),
        }
    }

    /// `ENOTSUP` unless the precision is one of these; none given is the first.
    ///
    /// # Errors
    /// See above.
    pub fn precision_among<'a>(&self, known: &[&'a str]) -> Result<&'a str> {
        if self.precision.is_empty() {
            return Ok(known.first().copied().unwrap_or("f32"));
        }
        match known.iter().find(|name| **name == self.precision) {
            Some(name) => Ok(name),
            None => bail!(
                ENOTSUP,
                "option `precision`: this backend computes in {}, not in {}",
                known.join(", "),
                self.precision
            ),
        }
    }
}

/// Name of the environment variable with options for a backend.
pub(crate) fn variable(backend: &str) -> String {
    format!(
        "VACCEL_{}_OPTIONS",
        backend.to_uppercase().replace('-', "_")
    )
}

/// As many threads as this process may use processors (affinity and cgroup counted).
#[must_use]
pub fn available_threads() -> usize {
    static AVAILABLE: OnceLock<usize> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        std::thread::available_parallelism()
            .map_or(1, NonZeroUsize::get)
            .min(MAX_THREADS)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(call: &str, description: &str) -> Result<Settings> {
        let text = format!(
            "[model]\nname = \"m\"\ntask = \"classify\"\n[output]\nformat = \"logits\"\n[run]\n{description}"
        );
        let description = Description::parse(&text, "model.toml").unwrap();
        Settings::read(
            "none",
            &["fast"],
            &Options::parse(call)?,
            Some(&description),
        )
    }

    #[test]
    fn a_call_overrides_the_description() {
        let both = read("threads=3,fast", "threads = 2\nbatch = 4\ndevice = \"gpu\"").unwrap();
        assert_eq!((both.threads, both.batch), (3, 4));
        assert_eq!(both.device, "gpu");
        assert!(both.switch("fast").unwrap());
        let none = read("", "").unwrap();
        assert_eq!(none, Settings::default());
    }

    #[test]
    fn flags_of_a_session_mean_the_gpu_where_nobody_names_a_device() {
        let device = |call: &str, described: &str, hint, gpu: Option<&str>| {
            let mut settings = read(call, described).unwrap();
            settings.take_gpu(hint, || gpu.map(str::to_owned));
            assert!(!settings.prefers_gpu);
            settings.device
        };
        let cuda = Some("cuda");
        assert_eq!(device("", "", PLUGIN_GPU, cuda), "cuda");
        assert_eq!(device("", "", PLUGIN_GPU, None), "");
        assert_eq!(device("", "", 0, cuda), "");
        assert_eq!(device("", "", PLUGIN_GPU | PLUGIN_CPU, cuda), "");
        assert_eq!(device("prefer=gpu", "", 0, cuda), "cuda");
        assert_eq!(device("prefer=gpu", "", 0, None), "");
        assert_eq!(device("device=cpu,prefer=gpu", "", PLUGIN_GPU, cuda), "cpu");
        assert_eq!(device("", "device = \"npu\"", PLUGIN_GPU, cuda), "npu");
        assert!(read("prefer=moon", "").is_err());
        assert!(read("backend=none", "").is_ok());
        let other = read("backend=other", "").unwrap_err();
        assert!(other.message().contains("VACCEL_PLUGINS=auto"), "{other}");
    }

    #[test]
    fn values_without_sense_are_refused_with_their_key() {
        for (call, what) in [
            ("threads=0", "`threads`: 0 is not 1 to 256"),
            ("batch=x", "`batch`"),
            ("precision=f8", "`precision`"),
            ("slow=1", "fast"),
        ] {
            let error = read(call, "").unwrap_err();
            assert!(error.message().contains(what), "{error}");
        }
        let half = read("precision=f16", "").unwrap();
        assert!(half.precision_among(&["f32"]).is_err());
        assert_eq!(half.precision_among(&["f32", "f16"]).unwrap(), "f16");
    }
}
