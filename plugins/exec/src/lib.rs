//! The exec plugin: calls a C function of a shared library.
//!
//! The library is named by path, or is a resource. The function has the type
//!
//! ```c
//! int f(struct vaccel_arg *read, size_t nr_read,
//!       struct vaccel_arg *write, size_t nr_write);
//! ```
//!
//! and runs in this process, with all its rights: which libraries may be loaded
//! is decided by the [`policy`].

pub mod library;
pub mod policy;
mod resource;
mod settings;

use library::Library;
use policy::Policy;
use resource::Bundle;
use settings::Settings;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vaccel_plugin::{
    Args, ArgsMut, Description, Op, Plugin, Resource, Result, Session, Variable, abi, bail,
};

struct Exec {
    settings: Settings,
    policy: Box<dyn Policy>,
    /// Libraries that stay loaded, by the name that the caller gives.
    by_name: Mutex<HashMap<CString, Arc<Library>>>,
    /// Libraries that stay loaded, by session and resource.
    by_resource: Mutex<HashMap<(i64, i64), Arc<Bundle>>>,
}

impl Plugin for Exec {
    const NAME: &'static CStr = c"exec";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: u32 = abi::plugin::PLUGIN_SOFTWARE | abi::plugin::PLUGIN_GENERIC;
    const OPS: &'static [Op] = &[Op::Noop, Op::Exec, Op::ExecWithResource];

    fn new() -> Result<Self> {
        Ok(Self {
            settings: Settings::from_env(),
            policy: policy::from_env()?,
            by_name: Mutex::default(),
            by_resource: Mutex::default(),
        })
    }

    fn describe(&self) -> Description {
        Description {
            environment: [settings::VARIABLES, policy::VARIABLES]
                .concat()
                .into_iter()
                .map(|(name, meaning)| Variable { name, meaning })
                .collect(),
            ..Description::ready("Calls C functions of shared libraries.")
        }
    }

    fn noop(&self, _: &Session<'_>) -> Result<()> {
        Ok(())
    }

    fn exec(
        &self,
        _: &Session<'_>,
        name: &CStr,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        if name.is_empty() {
            // dlopen would take it for the program itself, and any function of
            // the process could be called.
            bail!(EINVAL, "the name of the library is empty");
        }
        check_symbol(symbol)?;
        self.library(name)?.call(symbol, read, write)
    }

    fn exec_with_resource(
        &self,
        session: &Session<'_>,
        resource: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        check_symbol(symbol)?;
        self.bundle(session, resource)?.call(symbol, read, write)
    }

    fn resource_unregistered(&self, session: &Session<'_>, resource: &Resource<'_>) {
        let key = (session.id(), resource.id());
        let removed = lock(&self.by_resource).remove(&key);
        // Unloaded here, under no lock: its destructors may take long.
        drop(removed);
    }
}

impl Exec {
    fn library(&self, name: &CStr) -> Result<Arc<Library>> {
        if self.settings.close_library {
            return self.open(name);
        }
        if let Some(found) = lock(&self.by_name).get(name) {
            return Ok(Arc::clone(found));
        }
        // Two threads may both open it: the linker counts, and one stays.
        let library = self.open(name)?;
        let mut kept = lock(&self.by_name);
        Ok(Arc::clone(kept.entry(name.to_owned()).or_insert(library)))
    }

    fn open(&self, name: &CStr) -> Result<Arc<Library>> {
        let path = self.policy.path(name)?;
        Ok(Arc::new(Library::open(&path, self.settings.mode)?))
    }

    fn bundle(&self, session: &Session<'_>, resource: &Resource<'_>) -> Result<Arc<Bundle>> {
        let open = || Bundle::open(resource, self.settings.mode, self.policy.as_ref());
        if self.settings.close_resource {
            return open().map(Arc::new);
        }
        let key = (session.id(), resource.id());
        if let Some(found) = lock(&self.by_resource).get(&key) {
            return Ok(Arc::clone(found));
        }
        let bundle = Arc::new(open()?);
        let mut kept = lock(&self.by_resource);
        Ok(Arc::clone(kept.entry(key).or_insert(bundle)))
    }
}

fn check_symbol(symbol: &CStr) -> Result<()> {
    if symbol.is_empty() {
        bail!(EINVAL, "the name of the function is empty");
    }
    Ok(())
}

/// The maps are whole after every statement, so a poisoned lock is no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

vaccel_plugin::export_plugin!(Exec);
