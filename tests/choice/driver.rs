//! Does one thing after the other in one session, and says of each how it went: a JSON
//! object a line. What serves it is `VACCEL_PLUGINS`' business.
//!
//! ```text
//! load:NAME:PATH[:OPTIONS]  again:NAME:BACKEND  race:PATH:BACKEND:BACKEND  stale:PATH  info:NAME  run:NAME  unload:NAME
//! classify:PICTURE  sgemm  vectors  noop  exec:LIBRARY  upload:LIBRARY  flags:NUMBER  session:NUMBER
//! ```

use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;
use vaccel::{Dtype, Input, Model, Output, Resource, ResourceType, Session, Sgemm, Tensor};

type Done = Result<Value, Box<dyn std::error::Error>>;

struct State {
    session: Session,
    models: HashMap<String, (Model, Resource)>,
}

fn main() {
    let mut state = match Session::new() {
        Ok(session) => State {
            session,
            models: HashMap::new(),
        },
        Err(e) => return println!("{}", failed("session", &e)),
    };
    for step in std::env::args().skip(1) {
        match state.step(&step) {
            Ok(value) => println!("{}", json!({"step": step, "ok": value})),
            Err(e) => match e.downcast_ref::<vaccel::Error>() {
                Some(e) => println!("{}", failed(&step, e)),
                None => println!(
                    "{}",
                    json!({"step": step, "code": -1, "error": e.to_string()})
                ),
            },
        }
    }
}

fn failed(step: &str, e: &vaccel::Error) -> Value {
    json!({"step": step, "code": e.code, "error": e.message})
}

impl State {
    fn step(&mut self, step: &str) -> Done {
        let parts: Vec<&str> = step.splitn(4, ':').collect();
        match parts[..] {
            ["session", number] => {
                self.models.clear();
                self.session = Session::with_hint(number.parse()?)?;
                Ok(json!(self.session.plugin()))
            }
            ["flags", number] => {
                self.session.update(number.parse()?)?;
                Ok(json!(self.session.plugin()))
            }
            ["load", name, path] => self.load(name, path, ""),
            ["load", name, path, options] => self.load(name, path, options),
            ["again", name, backend] => {
                let resource = self.model(name)?.1.clone();
                let options = format!("backend={backend}");
                let model = Model::load(&self.session, &resource, &options)?;
                let about = about(&model);
                // Its end would be the end of the one that is there.
                std::mem::forget(model);
                about
            }
            ["race", path, one, other] => self.race(path, [one, other]),
            // A model that somebody else has unloaded.
            ["stale", path] => {
                let resource = Resource::open(path, ResourceType::Model)?;
                let first = Model::load(&self.session, &resource, "")?;
                let second = Model::load(&self.session, &resource, "")?;
                drop(first);
                about(&second)
            }
            ["info", name] => about(&self.model(name)?.0),
            ["run", name] => run(&self.model(name)?.0),
            ["unload", name] => {
                let (model, resource) = self.models.remove(name).ok_or("no such model")?;
                drop(model);
                resource.unregister(&self.session)?;
                Ok(Value::Null)
            }
            ["classify", picture] => {
                let answer = self.session.image_labels(&std::fs::read(picture)?)?;
                Ok(json!(answer.text))
            }
            ["sgemm"] => {
                let sizes = Sgemm::new(2, 2, 2);
                let mut c = [0.0; 4];
                let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
                self.session.sgemm(&sizes, &a, &b, &mut c)?;
                Ok(json!(c))
            }
            ["vectors"] => Ok(json!(self.session.fpga_vadd(&[1.0, 2.0], &[3.0, 4.0])?)),
            ["noop"] => Ok(json!(self.session.noop()?)),
            ["upload", library] => {
                let library = Resource::open(library, ResourceType::Library)?;
                library.register(&self.session)?;
                let (input, mut output) = (10_i32, 0_i32);
                // SAFETY: the library of the examples, whose function reads and writes a number.
                unsafe {
                    self.session.exec_with_resource(
                        &library,
                        "mytestfunc",
                        &[Input::scalar(&input)],
                        &mut [Output::scalar(&mut output)],
                    )?;
                }
                Ok(json!(output))
            }
            ["exec", library] => {
                let (input, mut output) = (10_i32, 0_i32);
                // SAFETY: the library of the examples, whose function reads and writes a number.
                unsafe {
                    self.session.exec(
                        library,
                        "mytestfunc",
                        &[Input::scalar(&input)],
                        &mut [Output::scalar(&mut output)],
                    )?;
                }
                Ok(json!(output))
            }
            _ => Err(format!("`{step}` is no step").into()),
        }
    }

    fn load(&mut self, name: &str, path: &str, options: &str) -> Done {
        let resource = Resource::open(path, ResourceType::Model)?;
        let model = Model::load(&self.session, &resource, options)?;
        let about = about(&model)?;
        self.models.insert(name.to_owned(), (model, resource));
        Ok(about)
    }

    /// Several threads load one model at the same time, half of them with the one backend and half
    /// with the other; what each got. It is unloaded then.
    fn race(&self, path: &str, backends: [&str; 2]) -> Done {
        const THREADS: usize = 8;
        let resource = Resource::open(path, ResourceType::Model)?;
        resource.register(&self.session)?;
        let all_there = Barrier::new(THREADS);
        let load = |asked: &str| {
            all_there.wait();
            let loaded = Model::load(&self.session, &resource, &format!("backend={asked}"));
            let answer = match &loaded {
                Ok(model) => match about(model).and_then(|about| Ok((about, run(model)?))) {
                    Ok((about, logits)) => json!({"backend": about["backend"], "ok": logits}),
                    Err(e) => json!({"code": -1, "error": e.to_string()}),
                },
                Err(e) => failed(asked, e),
            };
            // The end of one would be the end for all.
            all_there.wait();
            (loaded.ok(), json!({"asked": asked, "got": answer}))
        };
        let (models, answers): (Vec<_>, Vec<_>) = thread::scope(|scope| {
            let started = (0..THREADS).map(|i| scope.spawn(move || load(backends[i % 2])));
            let started: Vec<_> = started.collect();
            let ended = started.into_iter().map(|thread| thread.join());
            ended
                .map(|joined| joined.map_err(|_| "a thread panicked"))
                .collect::<Result<_, _>>()
        })?;
        // Only the first is there to be unloaded.
        models
            .into_iter()
            .flatten()
            .skip(1)
            .for_each(std::mem::forget);
        Ok(json!(answers))
    }

    fn model(&self, name: &str) -> Result<&(Model, Resource), String> {
        self.models.get(name).ok_or(format!("no model `{name}`"))
    }
}

fn about(model: &Model) -> Done {
    let info = model.info()?;
    Ok(json!({"format": info.format, "backend": info.backend, "metadata": info.metadata}))
}

/// Runs a digit of 8 x 8 pixels, or as much as a smaller model takes; its logits.
fn run(model: &Model) -> Done {
    let info = model.info()?;
    let input = info.inputs.first().ok_or("a model without inputs")?;
    let shape: Vec<usize> = match input.shape.is_empty() {
        // TorchScript does not say.
        true => vec![1, 1, 8, 8],
        false => input
            .shape
            .iter()
            .map(|&d| usize::try_from(d).unwrap_or(1))
            .collect(),
    };
    let count: usize = shape.iter().product();
    let pixels: Vec<f32> = (0..count).map(|i| (i % 17) as f32 / 16.0).collect();
    let outputs = model.run(&[("", Tensor::new(&shape, pixels)?)])?;
    let first = outputs.first().ok_or("a model without outputs")?;
    match first.dtype() {
        Dtype::F32 => Ok(json!(first.as_slice::<f32>()?)),
        other => Err(format!("an output of {}", other.name()).into()),
    }
}
