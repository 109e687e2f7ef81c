//! `VACCEL_PLUGINS=auto`: which backend serves what, where the program leaves it open.
//!
//! * [`plugin`]: the plugin `auto`, whose sessions have backends instead of one plugin.
//! * `table`: what is preferred for what. `probe`: who is ready. `order`: both together.
//! * `model`: a model's backend, from its content and description.
//! * `explain`: all of it as a table for people.
//!
//! A session that has a plugin of its own for an operation never comes here: the way to it
//! looks at the session's own table first. What was chosen is kept with the session, an
//! operation's backend in an atomic of its slot and a model's in a short list.

mod explain;
mod model;
mod order;
pub mod plugin;
mod probe;
mod table;

use crate::ptr::Ptr;
use crate::session::{self, Slot};
use crate::{Result, err, get, lock, log_debug, op, plugin as plugins, resource};
use order::Order;
use plugins::Plugin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicPtr, Ordering};
use vaccel_abi::op::{
    OP_EXEC_WITH_RESOURCE, OP_IMAGE_CLASSIFY, OP_IMAGE_DEPTH, OP_MAX, OP_MODEL_LOAD, OpType,
};
use vaccel_abi::plugin::PluginType;
use vaccel_abi::resource::vaccel_resource;
use vaccel_abi::session::vaccel_session;

pub(crate) use explain::explain;
pub use model::load;
pub(crate) use model::{of_loaded, unload};

/// The backends that the table names, the most preferred first.
pub(crate) fn names() -> Vec<&'static str> {
    table::all()
}

/// What was chosen for a session.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    /// The backend of each operation that was called, or null.
    operations: [AtomicPtr<Plugin>; OP_MAX as usize],
    /// Numbers of models, and of libraries, each with its backend.
    models: Mutex<Vec<(u32, &'static Plugin)>>,
    /// The backends that were told of the session.
    told: Mutex<Vec<&'static Plugin>>,
}

impl Choices {
    fn operation(&self, op: OpType) -> Option<&'static Plugin> {
        let known = self.operations.get(op as usize)?.load(Ordering::Acquire);
        // SAFETY: null or a plugin, which are never freed.
        unsafe { known.as_ref() }.filter(|plugin| plugin.is_loaded())
    }

    fn set_operation(&self, op: OpType, plugin: &'static Plugin) {
        if let Some(place) = self.operations.get(op as usize) {
            place.store(std::ptr::from_ref(plugin).cast_mut(), Ordering::Release);
        }
    }

    fn model(&self, id: u32) -> Option<&'static Plugin> {
        let models = lock(&self.models);
        let found = models.iter().find(|(known, _)| *known == id);
        found.map(|(_, plugin)| *plugin).filter(|p| p.is_loaded())
    }

    /// Notes a model's backend, unless another thread was faster.
    fn set_model(&self, id: u32, plugin: &'static Plugin) -> &'static Plugin {
        let mut models = lock(&self.models);
        models.retain(|(known, plugin)| *known != id || plugin.is_loaded());
        match models.iter().find(|(known, _)| *known == id) {
            Some((_, first)) => first,
            None => {
                models.push((id, plugin));
                plugin
            }
        }
    }

    fn forget_model(&self, id: u32) {
        lock(&self.models).retain(|(known, _)| *known != id);
    }

    /// Models of the session come or go: operations on pictures may be another's now.
    pub(crate) fn models_changed(&self, gone: Option<u32>) {
        if !plugin::is_on() {
            return;
        }
        for op in OP_IMAGE_CLASSIFY..=OP_IMAGE_DEPTH {
            if let Some(place) = self.operations.get(op as usize)
                && !place.load(Ordering::Relaxed).is_null()
            {
                place.store(std::ptr::null_mut(), Ordering::Release);
            }
        }
        if let Some(id) = gone {
            self.forget_model(id);
        }
    }

    /// Nothing is chosen any more.
    pub(crate) fn forget(&self) {
        for place in &self.operations {
            place.store(std::ptr::null_mut(), Ordering::Release);
        }
        lock(&self.models).clear();
    }
}

/// Tells the backends of a new session of `auto`; they stay mapped as long as it is open.
pub(crate) fn open_session(sess: Ptr<vaccel_session>, slot: &Slot, hint: PluginType) {
    slot.choices.forget();
    let mut told = lock(&slot.choices.told);
    for backend in plugin::backends() {
        if let Some(callback) = backend.info().session_init {
            // SAFETY: a function of a loaded plugin, called with an initialised session.
            let result = unsafe { callback(sess.as_ptr(), hint) };
            if result != 0 {
                let why = backend.error("opening a session", result);
                log_debug!("auto: goes without `{}`: {why}", backend.name());
                continue;
            }
        }
        backend.enter();
        told.push(backend);
    }
}

/// Forgets what was chosen for a session, and tells those that were told of it that it is
/// over. `own` is the session's plugin.
pub(crate) fn close_session(sess: Ptr<vaccel_session>, slot: &Slot, own: &Plugin) {
    if !plugin::is_on() && !plugin::is_it(own) {
        return;
    }
    slot.choices.forget();
    let told = std::mem::take(&mut *lock(&slot.choices.told));
    for backend in told {
        session::detach(sess, backend);
        backend.leave();
    }
}

/// True when the backend of an operation is chosen here: `auto` is loaded, and the session's
/// own plugin does not offer it.
#[must_use]
pub fn decides(sess: Ptr<vaccel_session>, op: OpType) -> bool {
    plugin::is_on()
        && get!(sess.id) > 0
        && plugins::by_raw(get!(sess.plugin))
            .is_some_and(|own| !own.is_transport() && !op::offered_by(own, op))
}

/// The backend of an operation without a model of its own; `None` when none is ready.
/// For operations on models, one that offers it and is ready.
pub(crate) fn serving(sess: Ptr<vaccel_session>, op: OpType) -> Option<&'static Plugin> {
    if is_of_models(op) {
        let all = plugin::backends();
        return all.into_iter().find(|backend| {
            op::offered_by(backend, op) && probe::state(backend) == probe::State::Ready
        });
    }
    of_operation(sess, op).ok()
}

/// The backend of an operation, as it is called.
///
/// # Errors
/// `ENOTSUP` with what each candidate lacks; those of loading a picture's model.
#[cold]
pub(crate) fn of_operation(sess: Ptr<vaccel_session>, op: OpType) -> Result<&'static Plugin> {
    let slot = session::slot(sess)?;
    if let Some(plugin) = slot.choices.operation(op) {
        return Ok(plugin);
    }
    let plugin = if (OP_IMAGE_CLASSIFY..=OP_IMAGE_DEPTH).contains(&op) {
        model::of_picture(sess, op)?
    } else {
        let mut order = Order::of_operation(op, get!(sess.hint));
        match order.next() {
            Some(plugin) => plugin,
            None => return Err(order.nobody(op::name(op))),
        }
    };
    log_debug!(
        "session {}: {} is done by `{}`",
        get!(sess.id),
        op::name(op),
        plugin.name()
    );
    slot.choices.set_operation(op, plugin);
    Ok(plugin)
}

/// The backend that calls a function of a library resource: `exec` for a shared library;
/// for anything else, one that makes programs of a device of it.
///
/// # Errors
/// `ENOTSUP` with what each candidate lacks.
pub(crate) fn of_library(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
) -> Result<&'static Plugin> {
    let choices = &session::slot(sess)?.choices;
    let (_, id, _) = resource::identify(res)?;
    if let Some(known) = choices.model(id) {
        return Ok(known);
    }
    let mut order = Order::of_operation(OP_EXEC_WITH_RESOURCE, get!(sess.hint));
    let is_shared_library = resource::begins_with(res, b"\x7fELF");
    while let Some(plugin) = order.next() {
        if is_shared_library == (plugin.name() == "exec") {
            return Ok(choices.set_model(id, plugin));
        }
        let why = err!(
            ENOTSUP,
            "it does not call {}",
            if is_shared_library {
                "shared libraries"
            } else {
                "what is no shared library"
            }
        );
        order.refuse(plugin, &why);
    }
    Err(order.nobody(op::name(OP_EXEC_WITH_RESOURCE)))
}

/// The backend that has a model.
///
/// # Errors
/// `ENOENT` when it is not loaded in the session.
pub(crate) fn of_model(sess: Ptr<vaccel_session>, id: i64) -> Result<&'static Plugin> {
    let slot = session::slot(sess)?;
    let known = u32::try_from(id).ok().and_then(|id| slot.choices.model(id));
    known.ok_or_else(|| {
        err!(
            ENOENT,
            "resource {id} is not loaded in session {}: load the model first",
            get!(sess.id)
        )
    })
}

/// Load, unload and run, of any of the interfaces.
fn is_of_models(op: OpType) -> bool {
    use vaccel_abi::op::{OP_TF_MODEL_LOAD, OP_TORCH_MODEL_RUN};
    (OP_TF_MODEL_LOAD..=OP_TORCH_MODEL_RUN).contains(&op) || op >= OP_MODEL_LOAD
}
