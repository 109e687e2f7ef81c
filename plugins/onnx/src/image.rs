//! The image operations: which model, then from picture to answer.

use std::any::Any;
use std::sync::Arc;

use vaccel_plugin::{Error, Model, Picture, ResourceType, Result, Session, bail, err};
use vaccel_vision::{Answer, Task};

use crate::default_model::source_of;
use crate::model::OnnxModel;
use crate::{Onnx, threads, virtual_tensor};

impl Onnx {
    /// Runs the model of a task on an encoded picture.
    ///
    /// # Errors
    /// No model, one of another task, bytes that are no picture.
    pub(crate) fn answer(&self, session: &Session<'_>, task: Task, image: &[u8]) -> Result<Answer> {
        let model = self.model_for(session, task)?;
        let model: &dyn Any = &*model;
        match model.downcast_ref::<OnnxModel>() {
            Some(model) => virtual_tensor::answer(model, image),
            // Every model of this plugin is one.
            None => Err(err!(EIO, "the session's model was loaded by somebody else")),
        }
    }

    /// The session's own model for a task, else the default one.
    fn model_for(&self, session: &Session<'_>, task: Task) -> Result<Arc<dyn Model>> {
        let mut refused: Option<Error> = None;
        for resource in session.resources(ResourceType::Model)? {
            let loaded = session.model_or_load(&resource, || {
                let network = self.cache.get(&source_of(&resource)?)?;
                network.require_exact()?;
                Ok(Box::new(OnnxModel::new(network, threads::available())?))
            });
            match loaded.and_then(|model| check_task(&model, task).map(|()| model)) {
                Ok(model) => return Ok(model),
                // A session may bring one model for each task: the others may fit.
                Err(e) => drop(refused.get_or_insert(e)),
            }
        }
        match refused {
            Some(e) => Err(e),
            None => Ok(self.defaults.get(task, &self.cache)?),
        }
    }

    /// An operation whose only result is the annotated picture.
    pub(crate) fn image(&self, session: &Session<'_>, task: Task, image: &[u8]) -> Result<Picture> {
        let answer = self.answer(session, task, image)?;
        self.picture(session, task, answer)
    }

    /// The annotated picture, in the session's folder when it is asked for.
    pub(crate) fn picture(
        &self,
        session: &Session<'_>,
        task: Task,
        answer: Answer,
    ) -> Result<Picture> {
        let (id, folder) = (session.id(), session.rundir().map(ToOwned::to_owned));
        let pictures = Arc::clone(&self.pictures);
        Ok(Picture::deferred(move || {
            let Some(folder) = folder else {
                bail!(EIO, "the session has no folder for the picture");
            };
            let png = answer.picture_png().map_err(virtual_tensor::from_vision)?;
            pictures.write(id, &folder, task, &png)
        }))
    }
}

/// `EINVAL` when the model is described for another task, or not at all.
fn check_task(model: &Arc<dyn Model>, task: Task) -> Result<()> {
    let any: &dyn Any = &**model;
    let Some(model) = any.downcast_ref::<OnnxModel>() else {
        return Ok(());
    };
    let described = model.network().vision()?.description().model.task;
    if described != task {
        bail!(
            EINVAL,
            "{} is a model for {described}, not for {task}",
            model.network().name
        );
    }
    Ok(())
}
