//! Models in memory, one of each, however many sessions use it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use vaccel_plugin::Result;

use crate::item::Identity;

/// What makes a model another one: its files, and what it was loaded for.
pub type Key = (Vec<Identity>, String);

/// Loaded models. They live as long as somebody uses them.
pub struct Cache<T> {
    slots: Mutex<HashMap<Key, Arc<Slot<T>>>>,
}

/// One model; its lock is held while it is loaded, so that those who want the same one
/// wait for it and nobody else does.
struct Slot<T>(Mutex<Weak<T>>);

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
        }
    }
}

impl<T> fmt::Debug for Cache<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({})", lock(&self.slots).len())
    }
}

// A panic of an engine is caught before it gets here; and a lock that was left early
// guards nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Cache<T> {
    /// The model of a key, loaded if nobody has it or what is there is not current.
    ///
    /// # Errors
    /// Those of `load`.
    pub fn get(
        &self,
        key: Key,
        is_current: impl Fn(&T) -> bool,
        load: impl FnOnce() -> Result<T>,
    ) -> Result<Arc<T>> {
        let slot = {
            let mut slots = lock(&self.slots);
            // Slots nobody waits for and whose model is gone.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(&slot.0).strong_count() > 0);
            let fresh = || Arc::new(Slot(Mutex::new(Weak::new())));
            Arc::clone(slots.entry(key).or_insert_with(fresh))
        };
        let mut loaded = lock(&slot.0);
        if let Some(model) = loaded.upgrade().filter(|model| is_current(model)) {
            return Ok(model);
        }
        let model = Arc::new(load()?);
        *loaded = Arc::downgrade(&model);
        Ok(model)
    }
}
