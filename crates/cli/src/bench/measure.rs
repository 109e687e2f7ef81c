//! Calls that are timed one by one.

use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::{Duration, Instant};
use vaccel::{Model, Resource, ResourceType, Session, Tensor};

/// Most calls whose times are kept for one figure.
const MOST: usize = 1_000_000;
/// Fewest calls for a figure, however long they take.
const FEWEST: usize = 3;

/// Times of a call, microseconds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Times {
    pub(super) calls: usize,
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// Times of a call that is made over and over.
fn times(time: Duration, mut call: impl FnMut() -> Result<()>) -> Result<Times> {
    let begun = Instant::now();
    loop {
        call()?;
        if begun.elapsed() > time / 10 {
            break;
        }
    }
    let mut all = Vec::new();
    let begun = Instant::now();
    while all.len() < FEWEST || (begun.elapsed() < time && all.len() < MOST) {
        let begin = Instant::now();
        call()?;
        all.push(begin.elapsed().as_nanos() as f64 / 1e3);
    }
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all[((all.len() as f64 * q) as usize).min(all.len() - 1)];
    Ok(Times {
        calls: all.len(),
        p50: at(0.5),
        p99: at(0.99),
    })
}

/// The empty operation.
pub(super) fn latency(session: &Session, time: Duration) -> Result<Times> {
    times(time, || Ok(session.noop()?))
}

/// How bytes are moved.
pub(super) enum Operation {
    /// As a tensor, to a model that does nothing with it.
    Tensor(Model),
    /// As a resource, registered and taken back.
    Resource,
}

impl Operation {
    /// What the other side can do.
    pub(super) fn of(session: &Session) -> Result<Self> {
        if !runs_anything(&vaccel::describe()?) {
            return Ok(Self::Resource);
        }
        let bytes = b"vaccel bench: not a model".to_vec();
        let resource = Resource::from_bytes(bytes, ResourceType::Model, "bench.model")?;
        Ok(Self::Tensor(Model::load(session, &resource, "")?))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "tensor",
            Self::Resource => "resource",
        }
    }
}

/// True when models go to the plugin `noop`, by the description of the library: to the agent's plugins where
/// there is one, and there to the first that runs models.
fn runs_anything(description: &Value) -> bool {
    let plugins = |of: &Value| of["plugins"].as_array().cloned().unwrap_or_default();
    let own = plugins(description);
    let agent = own.iter().map(|plugin| &plugin["ext"]["agent"]);
    let all = agent
        .filter(|agent| agent.is_object())
        .map(plugins)
        .next()
        .unwrap_or(own);
    let first = all.iter().find(|plugin| plugin["ext"]["models"] == true);
    first.is_some_and(|plugin| plugin["ext"]["name"] == "noop")
}

/// Moves so many bytes to the other side, over and over.
pub(super) fn throughput(
    session: &Session,
    operation: &Operation,
    bytes: usize,
    time: Duration,
) -> Result<Times> {
    match operation {
        Operation::Tensor(model) => {
            let values = vec![1.5_f32; bytes / size_of::<f32>()];
            let large = Tensor::new(&[values.len()], values)?;
            // noop answers with its first input, so that nothing large comes back.
            let small = Tensor::new(&[1], vec![0.25_f32])?;
            let inputs = [("small", &small), ("large", &large)];
            times(time, || {
                let answer = model.run_named(&inputs, &["small"])?;
                ensure!(
                    answer.first().is_some_and(|tensor| tensor.len() == 1),
                    "the model answered with something else"
                );
                Ok(())
            })
        }
        Operation::Resource => {
            let resource = Resource::from_bytes(vec![1; bytes], ResourceType::Data, "bench.data")?;
            times(time, || {
                resource.register(session)?;
                resource.unregister(session)?;
                Ok(())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::runs_anything;
    use serde_json::json;

    #[test]
    fn models_go_to_the_agents_first_plugin_that_runs_them() {
        let plugin = |name| json!({"ext": {"name": name, "models": true}});
        let exec = json!({"ext": {"name": "exec", "models": false}});
        assert!(runs_anything(&json!({"plugins": [exec, plugin("noop")]})));
        assert!(!runs_anything(
            &json!({"plugins": [plugin("onnx"), plugin("noop")]})
        ));
        assert!(!runs_anything(&json!({"plugins": []})));
        let agent = |plugins| {
            let ext = json!({"name": "rpc", "models": true, "agent": {"plugins": plugins}});
            json!({"plugins": [{"ext": ext}]})
        };
        assert!(runs_anything(&agent(vec![plugin("noop")])));
        assert!(!runs_anything(&agent(vec![plugin("onnx")])));
        assert!(!runs_anything(&agent(vec![])));
    }
}
