//! A plugin's models and image operations over an [`Engine`].

use std::any::Any;
use std::sync::Arc;

use vaccel_plugin::abi::plugin::PluginType;
use vaccel_plugin::{
    Classified, Description, Error, Model, ModelSource, Options, Picture, ResourceType, Result,
    Session, bail, err, log,
};
use vaccel_vision::{Answer, Task};

use crate::batch::{self, Queue};
use crate::cache::Cache;
use crate::default_model::{Defaults, source_of};
use crate::graph::Graph;
use crate::model::Loaded;
use crate::pictures::Pictures;
use crate::settings::Settings;
use crate::source::{Kinds, Source};
use crate::virtual_tensor;

/// What loads models: a runtime, opened on first use.
pub trait Engine: Send + Sync + Sized + 'static {
    /// A loaded model.
    type Graph: Graph;
    /// Name of the plugin, as in `VACCEL_<NAME>_OPTIONS`.
    const NAME: &'static str;
    /// What its models look like on disk.
    const KINDS: Kinds;
    /// Options beside those that every backend knows.
    const OPTIONS: &'static [&'static str] = &[];

    /// Loads a model.
    ///
    /// # Errors
    /// `ENOTSUP` when the runtime is missing (with what to do about it) or the model is
    /// not of its kind; `EINVAL` for a damaged file.
    fn load(&self, source: &Source<'_>, settings: &Settings) -> Result<Self::Graph>;

    /// What options call the GPU that is there; `None` when there is none that it can use.
    fn gpu(&self) -> Option<String> {
        None
    }

    /// What it says of itself: whether the runtime is there, formats, devices.
    fn describe(&self) -> Description;
}

/// An engine, with the default models and the pictures that were drawn.
pub struct Backend<E: Engine> {
    engine: E,
    defaults: Defaults<Loaded<E::Graph>>,
    pictures: Arc<Pictures>,
    /// Where requests of sessions meet that have loaded the same model.
    queues: Cache<Queue>,
}

impl<E: Engine + Default> Default for Backend<E> {
    fn default() -> Self {
        Self::new(E::default())
    }
}

impl<E: Engine> Backend<E> {
    /// Nothing is loaded yet.
    pub fn new(engine: E) -> Self {
        Self {
            engine,
            defaults: Defaults::default(),
            pictures: Arc::default(),
            queues: Cache::default(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Serves `Plugin::load_model`.
    ///
    /// # Errors
    /// As [`Engine::load`]; `EINVAL` for options that make no sense.
    pub fn load_model(
        &self,
        session: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        let source = source_of(&source.resource(), &E::KINDS)?;
        Ok(Box::new(self.load(&source, options, session.hint())?))
    }

    /// `hint`: the flags of the session, 0 for none.
    fn load(
        &self,
        source: &Source<'_>,
        options: &Options,
        hint: PluginType,
    ) -> Result<Loaded<E::Graph>> {
        let description = source.description.as_ref().ok().and_then(Option::as_ref);
        let mut settings = Settings::read(E::NAME, E::OPTIONS, options, description)?;
        settings.take_gpu(hint, || self.engine.gpu());
        let graph = self.engine.load(source, &settings)?;
        let batching = self.batching(&graph, &settings, &source.model.name)?;
        Ok(Loaded::new(graph, source, settings, batching))
    }

    /// Where the requests for a model meet, or why they cannot; `None` when that is not asked for.
    fn batching(
        &self,
        graph: &E::Graph,
        settings: &Settings,
        name: &str,
    ) -> Result<Option<Result<Arc<Queue>, String>>> {
        let Some(asked) = settings.batching else {
            return Ok(None);
        };
        if let Some(why) = batch::obstacle(graph) {
            log::warn!("{name}: `max_batch` is without effect: {why}");
            return Ok(Some(Err(why)));
        }
        let make = || Ok(Queue::new(asked));
        // An address is that of one model as long as somebody has it; who has the queue has the model.
        let queue = match graph.shared() {
            Some(address) => {
                let key = (Vec::new(), format!("{address} {settings:?}"));
                self.queues.get(key, |_| true, make)?
            }
            None => Arc::new(make()?),
        };
        Ok(Some(Ok(queue)))
    }

    /// Serves `Plugin::image_classify`.
    ///
    /// # Errors
    /// No model, one of another task, bytes that are no picture.
    pub fn classify(&self, session: &Session<'_>, image: &[u8]) -> Result<Classified> {
        let answer = self.answer(session, Task::Classify, image)?;
        Ok(Classified {
            text: answer.outcome().to_text(),
            picture: self.picture(session, Task::Classify, answer),
        })
    }

    /// Serves the operations whose only result is the annotated picture.
    ///
    /// # Errors
    /// As [`classify`](Self::classify).
    pub fn image(&self, session: &Session<'_>, task: Task, image: &[u8]) -> Result<Picture> {
        let answer = self.answer(session, task, image)?;
        Ok(self.picture(session, task, answer))
    }

    /// Serves `Plugin::session_closed`.
    pub fn session_closed(&self, session_id: i64) {
        self.pictures.forget(session_id);
    }

    /// Runs the model of a task on an encoded picture.
    fn answer(&self, session: &Session<'_>, task: Task, image: &[u8]) -> Result<Answer> {
        let model = self.model_for(session, task)?;
        let model: &dyn Any = &*model;
        match model.downcast_ref::<Loaded<E::Graph>>() {
            Some(model) => virtual_tensor::answer(model, image),
            // Every model of this plugin is one.
            None => Err(err!(EIO, "the session's model was loaded by somebody else")),
        }
    }

    /// The session's own model for a task, else the default one.
    fn model_for(&self, session: &Session<'_>, task: Task) -> Result<Arc<dyn Model>> {
        let mut refused: Option<Error> = None;
        let options = Options::default();
        for resource in session.resources(ResourceType::Model)? {
            let loaded = session.model_or_load(&resource, || {
                let source = source_of(&resource, &E::KINDS)?;
                Ok(Box::new(self.load(&source, &options, session.hint())?))
            });
            match loaded.and_then(|model| self.check_task(&model, task).map(|()| model)) {
                Ok(model) => return Ok(model),
                // A session may bring one model for each task: the others may fit.
                Err(e) => drop(refused.get_or_insert(e)),
            }
        }
        match refused {
            Some(e) => Err(e),
            None => Ok(self.defaults.get(
                task,
                |model| model.graph.is_current(),
                |source| self.load(source, &options, 0),
            )?),
        }
    }

    /// `EINVAL` when the model is described for another task, or not at all.
    fn check_task(&self, model: &Arc<dyn Model>, task: Task) -> Result<()> {
        let any: &dyn Any = &**model;
        let Some(model) = any.downcast_ref::<Loaded<E::Graph>>() else {
            return Ok(());
        };
        let described = model.vision()?.description().model.task;
        if described != task {
            bail!(
                EINVAL,
                "{} is a model for {described}, not for {task}",
                model.name
            );
        }
        Ok(())
    }

    /// The annotated picture, in the session's folder when it is asked for.
    fn picture(&self, session: &Session<'_>, task: Task, answer: Answer) -> Picture {
        let (id, folder) = (session.id(), session.rundir().map(ToOwned::to_owned));
        let pictures = Arc::clone(&self.pictures);
        Picture::deferred(move || {
            let Some(folder) = folder else {
                bail!(EIO, "the session has no folder for the picture");
            };
            let png = answer.picture_png().map_err(virtual_tensor::from_vision)?;
            pictures.write(id, &folder, task, &png)
        })
    }
}
