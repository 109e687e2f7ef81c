//! The backend of a model: by what is in its file, what its description and the program
//! say, and who is ready.

use super::order::{self, Order};
use super::{Choices, of_model, plugin};
use crate::plugin::Plugin;
use crate::ptr::Ptr;
use crate::resource::{self, identify};
use crate::session::{self, slot};
use crate::{Error, Result, alloc, env, err, fail, get, log_debug, log_warn, model, op, ptr};
use serde_json::Value;
use std::ffi::{CStr, CString, c_char};
use vaccel_abi::error::{EINVAL, ENODEV, ENOENT, ENOTSUP};
use vaccel_abi::op::{OP_MODEL_LOAD, OpType};
use vaccel_abi::plugin::{PLUGIN_CPU, PLUGIN_GPU};
use vaccel_abi::resource::{RESOURCE_MODEL, vaccel_resource};
use vaccel_abi::session::vaccel_session;

/// What `model_judge` said.
#[derive(Debug, Default)]
struct About {
    format: Option<String>,
    /// What errors call the model.
    name: String,
    task: Option<String>,
    backend: Option<String>,
}

/// Asks the first backend that can tell: they all can tell all.
fn judge(
    sess: Ptr<vaccel_session>,
    res: Option<Ptr<vaccel_resource>>,
    op: OpType,
) -> Result<About> {
    let judges = plugin::backends();
    let judge = judges.iter().find_map(|p| Some((*p, p.ext().model_judge?)));
    let Some((plugin, judge)) = judge else {
        return Ok(About {
            name: "the model".to_owned(),
            ..About::default()
        });
    };
    let mut text: *mut c_char = std::ptr::null_mut();
    let raw = res.map_or(std::ptr::null_mut(), Ptr::as_ptr);
    // SAFETY: a function of a loaded plugin; session and resource are alive.
    let returned = unsafe { judge(sess.as_ptr(), raw, op, &raw mut text) };
    // SAFETY: the answer is malloc'ed, or null.
    let block = unsafe { alloc::Block::from_raw(text) };
    if returned != 0 {
        return Err(plugin.error("choosing a backend", returned));
    }
    // SAFETY: the answer is a C string or null, alive with the block.
    let text = unsafe { ptr::optional_text(block.as_ptr()) }.unwrap_or(c"");
    let about: Value = serde_json::from_slice(text.to_bytes()).unwrap_or_default();
    let field = |key: &str| about[key].as_str().map(str::to_owned);
    Ok(About {
        format: field("format"),
        name: field("model").unwrap_or_else(|| "the model".to_owned()),
        task: field("task"),
        backend: field("backend"),
    })
}

/// Options of a load, with what is for the choice taken out.
struct Given {
    backend: Option<String>,
    /// For the backend.
    rest: String,
    names_device: bool,
}

impl Given {
    fn read(options: &str) -> Self {
        let mut given = Self {
            backend: None,
            rest: String::new(),
            names_device: false,
        };
        for part in options.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if key.trim() == "backend" {
                given.backend = Some(value.trim().to_owned()).filter(|v| !v.is_empty());
                continue;
            }
            given.names_device |= ["device", "prefer"].contains(&key.trim());
            if !given.rest.is_empty() {
                given.rest.push(',');
            }
            given.rest.push_str(part);
        }
        given
    }

    /// `EEXIST` when a model has a backend already, and another one is named.
    fn allow(&self, has: &Plugin, id: u32) -> Result {
        if self.backend.as_ref().is_some_and(|name| name != has.name()) {
            fail!(
                EEXIST,
                "resource {id} is loaded by `{}` in this session; unload it first",
                has.name()
            );
        }
        Ok(())
    }

    /// The options for a backend. Of those that know of it, one is asked to take the GPU
    /// where nobody says what to run on.
    fn text(&self, sess: Ptr<vaccel_session>, plugin: &Plugin) -> Result<CString> {
        let mut text = self.rest.clone();
        let flags = get!(sess.hint) & (PLUGIN_CPU | PLUGIN_GPU);
        if plugin.ext().model_judge.is_some() && !self.names_device && flags != PLUGIN_CPU {
            let comma = if text.is_empty() { "" } else { "," };
            text = format!("{text}{comma}prefer=gpu");
        }
        CString::new(text).map_err(|_| err!(EINVAL, "a zero byte in the options"))
    }
}

/// The backend that `VACCEL_AUTO_OPTIONS` names for every model that it reads.
fn of_environment() -> Result<Option<String>> {
    let Some(text) = env::var("VACCEL_AUTO_OPTIONS", None) else {
        return Ok(None);
    };
    let given = Given::read(&text.to_string_lossy());
    if !given.rest.is_empty() {
        fail!(
            EINVAL,
            "VACCEL_AUTO_OPTIONS: `{}` is not known; there is: backend. Other options belong to \
             backends: VACCEL_ONNXRUNTIME_OPTIONS and the like",
            given.rest
        );
    }
    Ok(given.backend)
}

/// `vaccel_model_load` where the backend is chosen: the candidates are tried from the best
/// on, until one takes the model.
///
/// # Errors
/// `EINVAL` for a file that is no model, and for options that a backend does not know;
/// `ENOTSUP` with what each candidate says, when none takes it; other errors of a backend.
pub fn load(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    options: Option<&CStr>,
) -> Result {
    load_for(sess, res, options, 0).map(drop)
}

/// [`load`], for an operation that is then called on the backend; 0 for none.
fn load_for(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    options: Option<&CStr>,
    op: OpType,
) -> Result<&'static Plugin> {
    resource::require(sess, res, RESOURCE_MODEL)?;
    let choices = &slot(sess)?.choices;
    let (_, id, _) = identify(res)?;
    let given = Given::read(&options.unwrap_or(c"").to_string_lossy());
    if let Some(known) = choices.model(id) {
        given.allow(known, id)?;
        // Loading it again does nothing, or what the backend says.
        load_by(known, sess, res, &given)?;
        return Ok(known);
    }
    let about = judge(sess, Some(res), op)?;
    let mut order = candidates(&about, &given, get!(sess.hint))?;
    while let Some(plugin) = order.next() {
        if op != 0 && !op::offered_by(plugin, op) {
            let why = err!(ENOTSUP, "it does not offer {}", op::name(op));
            order.refuse(plugin, &why);
            continue;
        }
        match load_by(plugin, sess, res, &given) {
            Ok(()) => {
                let kept = keep(choices, id, plugin, sess, res, &about);
                // Another thread that names another one may have been faster.
                given.allow(kept, id)?;
                return Ok(kept);
            }
            // It is there and does not do for this model: another may.
            Err(e) if [ENOTSUP, ENODEV].contains(&e.code()) => {
                log_debug!("auto: `{}` refuses {}: {e}", plugin.name(), about.name);
                order.refuse(plugin, &e);
            }
            Err(e) => return Err(e),
        }
    }
    Err(order.nobody(described(&about)))
}

fn described(about: &About) -> String {
    match &about.format {
        Some(format) => format!("{} ({format})", about.name),
        None => about.name.clone(),
    }
}

/// Who may run it, in the order of who is asked: the one that the program names and nobody
/// else; that of the environment; that of the description; then the table.
fn candidates(about: &About, given: &Given, hint: u32) -> Result<Order> {
    let mut order = Order::of_format(about.format.as_deref(), hint);
    let missing = |name: &str| -> Error {
        err!(
            ENOTSUP,
            "option `backend`: `{name}` is not an installed backend; `vaccel info` lists them"
        )
    };
    if let Some(name) = &about.backend
        && !order.prefer(name)
    {
        log_warn!(
            "{}: its description names the backend `{name}`, which is not installed",
            about.name
        );
    }
    if let Some(name) = of_environment()? {
        let known = order::loaded(&name).ok_or_else(|| missing(&name))?;
        // It is meant for all models, and this may not be one of its formats.
        if order.has(known) {
            order.prefer(&name);
        }
    }
    if let Some(name) = &given.backend {
        if !order.prefer(name) {
            return Err(missing(name));
        }
        order.only_first();
    }
    Ok(order)
}

fn load_by(
    plugin: &'static Plugin,
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    given: &Given,
) -> Result {
    let Some(load) = plugin.ext().model_load else {
        fail!(ENOTSUP, "it runs no models");
    };
    let options = given.text(sess, plugin)?;
    model::call_of(plugin, sess, OP_MODEL_LOAD, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        unsafe { load(sess.as_ptr(), res.as_ptr(), options.as_ptr()) }
    })
}

/// Notes the backend. Two threads that load the same model at once have one of them.
fn keep(
    choices: &Choices,
    id: u32,
    plugin: &'static Plugin,
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
    about: &About,
) -> &'static Plugin {
    let kept = choices.set_model(id, plugin);
    if !std::ptr::eq(kept, plugin)
        && let Some(unload) = plugin.ext().model_unload
    {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        let _ = unsafe { unload(sess.as_ptr(), res.as_ptr()) };
    }
    log_debug!(
        "session {}: {} is run by `{}`",
        get!(sess.id),
        described(about),
        kept.name()
    );
    kept
}

/// The backend of a model, which is loaded now if it was not yet: for the interfaces of
/// frameworks, whose programs do not always load before they run.
///
/// # Errors
/// Those of [`load`].
pub(crate) fn of_loaded(
    sess: Ptr<vaccel_session>,
    res: Ptr<vaccel_resource>,
) -> Result<&'static Plugin> {
    match of_model(sess, get!(res.id)) {
        Err(e) if e.code() == ENOENT => load_for(sess, res, None, 0),
        known => known,
    }
}

/// `vaccel_model_unload`, of the backend that has it.
///
/// # Errors
/// `ENOENT` when it is not loaded; those of the backend.
pub(crate) fn unload(sess: Ptr<vaccel_session>, res: Ptr<vaccel_resource>) -> Result {
    resource::require(sess, res, RESOURCE_MODEL)?;
    let plugin = of_model(sess, get!(res.id))?;
    let Some(unload) = plugin.ext().model_unload else {
        fail!(ENOTSUP, "`{}` cannot unload models", plugin.name());
    };
    model::call_of(plugin, sess, vaccel_abi::op::OP_MODEL_UNLOAD, || {
        // SAFETY: a function of a loaded plugin; session and resource are alive.
        unsafe { unload(sess.as_ptr(), res.as_ptr()) }
    })?;
    let (_, id, _) = identify(res)?;
    slot(sess)?.choices.models_changed(Some(id));
    Ok(())
}

/// The backend of an operation on pictures: that of the session's model for it, else that
/// of the default model, else one with models of its own.
pub(super) fn of_picture(sess: Ptr<vaccel_session>, op: OpType) -> Result<&'static Plugin> {
    let models = session::resources_by_type(sess, RESOURCE_MODEL).unwrap_or_default();
    // SAFETY: registered with the session, which is alive.
    let models = models
        .into_iter()
        .filter_map(|p| unsafe { Ptr::new(p, "model") }.ok());
    let mut others = Vec::new();
    let task = op::name(op);
    for res in models {
        let about = judge(sess, Some(res), op);
        match about.map(|about| about.task) {
            // `classify` of `image_classify`.
            Ok(Some(named)) if task.ends_with(&named) => {
                return load_for(sess, res, None, op);
            }
            // Only a backend can tell what a model without a description is for.
            Ok(None) => others.insert(0, res),
            _ => others.push(res),
        }
    }
    let mut own = Order::with_own_models(op, get!(sess.hint));
    if let Some(res) = others.first() {
        return match load_for(sess, *res, None, op) {
            // No model of a format that is known may be one of theirs, as cascades are.
            Err(e) if [ENOTSUP, EINVAL].contains(&e.code()) => own.next().ok_or(e),
            result => result,
        };
    }
    let why = match judge(sess, None, op) {
        Ok(about) => {
            let mut order = candidates(&about, &Given::read(""), get!(sess.hint))?;
            while let Some(plugin) = order.next() {
                if op::offered_by(plugin, op) {
                    return Ok(plugin);
                }
            }
            order.nobody(described(&about))
        }
        Err(e) => e,
    };
    own.next().ok_or(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_is_taken_out_of_the_options_and_the_rest_is_passed_on() {
        let given = Given::read(" threads=2, backend = onnx ,approximate");
        assert_eq!(given.backend.as_deref(), Some("onnx"));
        assert_eq!(given.rest, "threads=2,approximate");
        assert!(!given.names_device);
        assert!(Given::read("device=cpu").names_device);
        assert!(Given::read("backend=").backend.is_none());
    }
}
