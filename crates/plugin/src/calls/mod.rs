//! The C functions behind the [`Plugin`] trait: each checks what it was given,
//! calls one method, and turns the result into a code.

pub(crate) mod compute;
pub(crate) mod framework;
pub(crate) mod hooks;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod simple;

use crate::backend::{Model, ModelApi, ModelSource, Options};
use crate::error::Result;
use crate::models::Models;
use crate::op::Op;
use crate::plugin::Plugin;
use crate::raw::{RawOps, RawPlugin, guard};
use crate::resource::{Resource, ResourceType};
use crate::session::Session;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vaccel_abi::CResult;
use vaccel_abi::session::vaccel_session;

/// The plugin and its loaded models, from `init` to `fini`.
#[derive(Debug)]
pub(crate) struct Instance<P> {
    plugin: P,
    models: Models,
    /// Open sessions, where the library tells of them.
    sessions: AtomicUsize,
}

impl<P> Instance<P> {
    /// # Safety
    /// As [`Session::from_raw`].
    #[inline]
    unsafe fn session(&self, session: *mut vaccel_session) -> Result<Session<'_>> {
        // SAFETY: promised by the caller.
        unsafe { Session::from_raw(session, &self.models) }
    }
}

impl<P: Plugin> Instance<P> {
    /// Loads a model, unless it is loaded already.
    fn load(
        &self,
        session: &Session<'_>,
        resource: Resource<'_>,
        api: ModelApi,
        options: &Options,
    ) -> Result<Arc<dyn Model>> {
        resource.expect(ResourceType::Model)?;
        session.model_or_load(&resource, || {
            let source = ModelSource::new(resource, api);
            self.plugin.load_model(session, &source, options)
        })
    }

    /// The model to run.
    fn model(
        &self,
        session: &Session<'_>,
        resource: Resource<'_>,
        api: ModelApi,
    ) -> Result<Arc<dyn Model>> {
        if P::LOAD_ON_RUN {
            return self.load(session, resource, api, &Options::default());
        }
        session.model(&resource)
    }
}

/// Where the one instance of a plugin is kept.
#[doc(hidden)]
#[derive(Debug)]
pub struct Slot<P> {
    instance: AtomicPtr<Instance<P>>,
    /// How many runtimes have called `init` and not yet `fini`: a process may
    /// hold two (one linked into its executable), and they share the plugin.
    users: Mutex<usize>,
}

impl<P: Plugin> Slot<P> {
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            instance: AtomicPtr::new(std::ptr::null_mut()),
            users: Mutex::new(0),
        }
    }

    #[inline]
    fn get(&self) -> Result<&Instance<P>> {
        // SAFETY: null, or an instance that lives until the last `fini`, which
        // a runtime calls after its last operation has returned, as it must
        // before it unloads the code itself.
        unsafe { self.instance.load(Ordering::Acquire).as_ref() }.ok_or_else(not_initialised)
    }

    fn init(&self) -> Result<()> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if *users == 0 {
            let instance = Instance {
                plugin: P::new()?,
                models: Models::default(),
                sessions: AtomicUsize::new(0),
            };
            let instance = Box::into_raw(Box::new(instance));
            self.instance.store(instance, Ordering::Release);
        }
        *users += 1;
        Ok(())
    }

    fn fini(&self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        // Also called after an `init` that failed.
        *users = users.saturating_sub(1);
        if *users > 0 {
            return;
        }
        let instance = self.instance.swap(std::ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: null, or made by `Box::into_raw` in `init`.
        let Some(found) = (unsafe { instance.as_ref() }) else {
            return;
        };
        if found.sessions.load(Ordering::Acquire) > 0 {
            // The process ends while other threads still work: they keep what
            // they use.
            crate::log::debug!("{}: ends with open sessions", P::NAME.to_string_lossy());
            return;
        }
        // SAFETY: as above, taken out just now, and no session can use it.
        drop(unsafe { Box::from_raw(instance) });
    }
}

impl<P: Plugin> Default for Slot<P> {
    fn default() -> Self {
        Self::new()
    }
}

#[cold]
fn not_initialised() -> crate::Error {
    crate::Error::new(crate::code::ENODEV, "the plugin is not initialised")
}

/// A plugin with a place for its instance; implemented by
/// [`export_plugin!`](crate::export_plugin).
#[doc(hidden)]
pub trait Exported: Plugin {
    fn slot() -> &'static Slot<Self>;
}

/// The body of every C function: finds the plugin, calls `f`, reports.
#[inline(always)]
pub(crate) fn call<P: Exported>(
    what: &'static str,
    f: impl FnOnce(&Instance<P>) -> Result<()>,
) -> CResult {
    guard(P::NAME, what, || f(P::slot().get()?))
}

/// The C side of a [`Plugin`].
#[doc(hidden)]
#[must_use]
pub const fn raw_plugin<P: Exported>() -> RawPlugin {
    let mut raw = RawPlugin::new(P::NAME, P::VERSION, P::TYPES);
    raw.init = Some(init::<P>);
    raw.fini = Some(fini::<P>);
    raw.session_init = Some(hooks::session_init::<P>);
    raw.session_release = Some(hooks::session_release::<P>);
    raw.resource_register = Some(hooks::resource_register::<P>);
    raw.resource_unregister = Some(hooks::resource_unregister::<P>);
    raw.ops = raw_ops::<P>();
    raw.ext.describe = Some(hooks::describe::<P>);
    if P::MODELS {
        raw.ext.model_load = Some(model::load::<P>);
        raw.ext.model_unload = Some(model::unload::<P>);
        raw.ext.model_run = Some(model::run::<P>);
        raw.ext.model_info = Some(model::info::<P>);
    }
    if P::JUDGES {
        raw.ext.model_judge = Some(model::judge::<P>);
    }
    raw
}

const fn raw_ops<P: Exported>() -> RawOps {
    use vaccel_abi::tensor::{vaccel_tflite_tensor, vaccel_torch_tensor};
    let mut ops = RawOps::NONE;
    macro_rules! offer {
        ($($op:ident: $field:ident = $function:expr;)*) => {
            $(if Op::$op.is_in(P::OPS) {
                ops.$field = Some($function);
            })*
        };
    }
    offer! {
        Noop: noop = simple::noop::<P>;
        Exec: exec = simple::exec::<P>;
        ExecWithResource: exec_with_resource = simple::exec_with_resource::<P>;
        Minmax: minmax = simple::minmax::<P>;
        Opencv: opencv = simple::opencv::<P>;
        ImageClassify: image_classify = image::classify::<P>;
        ImageDetect: image_detect = image::detect::<P>;
        ImageSegment: image_segment = image::segment::<P>;
        ImagePose: image_pose = image::pose::<P>;
        ImageDepth: image_depth = image::depth::<P>;
        TfModelLoad: tf_model_load = framework::tf_load::<P>;
        TfModelUnload: tf_model_unload = framework::tf_unload::<P>;
        TfModelRun: tf_model_run = framework::tf_run::<P>;
        TfliteModelLoad: tflite_model_load = framework::load::<P, vaccel_tflite_tensor>;
        TfliteModelUnload: tflite_model_unload = framework::unload::<P>;
        TfliteModelRun: tflite_model_run = framework::tflite_run::<P>;
        TorchModelLoad: torch_model_load = framework::load::<P, vaccel_torch_tensor>;
        TorchModelRun: torch_model_run = framework::torch_run::<P>;
        TorchSgemm: torch_sgemm = framework::torch_sgemm::<P>;
        Sgemm: sgemm = compute::sgemm::<P>;
        FpgaArraycopy: fpga_arraycopy = compute::arraycopy::<P>;
        FpgaMmult: fpga_mmult = compute::mmult::<P>;
        FpgaParallel: fpga_parallel = compute::parallel::<P>;
        FpgaVectoradd: fpga_vectoradd = compute::vectoradd::<P>;
    }
    ops
}

fn init<P: Exported>() -> Result<()> {
    P::slot().init()
}

fn fini<P: Exported>() {
    P::slot().fini();
}

/// Exports a type that implements [`Plugin`](crate::Plugin) as the symbols
/// `vaccel_plugin` and `vaccel_plugin_ext`. Once in a crate, at its top level.
///
/// ```
/// use vaccel_plugin::{Description, Op, Plugin, Result, Session, abi};
///
/// struct Greeter;
///
/// impl Plugin for Greeter {
///     const NAME: &'static std::ffi::CStr = c"greeter";
///     const VERSION: &'static std::ffi::CStr = vaccel_plugin::version!();
///     const TYPES: u32 = abi::plugin::PLUGIN_SOFTWARE;
///     const OPS: &'static [Op] = &[Op::Noop];
///
///     fn new() -> Result<Self> {
///         Ok(Greeter)
///     }
///     fn describe(&self) -> Description {
///         Description::ready("Greets.")
///     }
///     fn noop(&self, session: &Session<'_>) -> Result<()> {
///         vaccel_plugin::log::info!("hello, session {}", session.id());
///         Ok(())
///     }
/// }
///
/// vaccel_plugin::export_plugin!(Greeter);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_plugin {
    ($plugin:ty) => {
        const _: () = {
            impl $crate::export::Exported for $plugin {
                fn slot() -> &'static $crate::export::Slot<Self> {
                    static SLOT: $crate::export::Slot<$plugin> = $crate::export::Slot::new();
                    &SLOT
                }
            }
            static RAW: $crate::raw::RawPlugin = $crate::export::raw_plugin::<$plugin>();
            $crate::export_raw_plugin!(RAW);
        };
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Description;
    use std::ffi::CStr;

    static ALIVE: AtomicUsize = AtomicUsize::new(0);

    struct Toy;

    impl Plugin for Toy {
        const NAME: &'static CStr = c"toy";
        const VERSION: &'static CStr = c"1.0.0";
        const TYPES: u32 = 0;
        const OPS: &'static [Op] = &[];

        fn new() -> Result<Self> {
            ALIVE.fetch_add(1, Ordering::SeqCst);
            Ok(Self)
        }

        fn describe(&self) -> Description {
            Description::ready("")
        }
    }

    impl Drop for Toy {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_plugin_is_dropped_at_the_end_unless_sessions_are_open() {
        let slot = Slot::<Toy>::new();
        slot.init().unwrap();
        slot.init().unwrap();
        slot.fini();
        assert!(slot.get().is_ok());
        slot.fini();
        assert!(slot.get().is_err());
        assert_eq!(ALIVE.load(Ordering::SeqCst), 0);
        slot.fini();

        slot.init().unwrap();
        slot.get().unwrap().sessions.fetch_add(1, Ordering::SeqCst);
        let in_use = slot.get().unwrap();
        slot.fini();
        assert!(slot.get().is_err());
        assert_eq!(ALIVE.load(Ordering::SeqCst), 1);
        assert_eq!(in_use.sessions.load(Ordering::SeqCst), 1);
    }
}
