//! Models in memory, one of each, however many sessions use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use vaccel_plugin::Result;

use crate::item::Identity;
use crate::network::Network;
use crate::source::Source;

/// What makes a model another one: its file, its description, its labels.
type Key = Vec<Identity>;

/// Loaded networks. They live as long as somebody uses them.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

/// One network; its lock is held while it is loaded, so that those who want the
/// same one wait for it and nobody else does.
#[derive(Debug, Default)]
struct Slot(Mutex<Weak<Network>>);

// A panic of the engine is caught before it gets here; and a lock that was left
// early guards nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cache {
    /// The network of a source, loaded if nobody has it.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub(crate) fn get(&self, source: &Source) -> Result<Arc<Network>> {
        let mut key = vec![source.model.identity()?];
        for item in &source.described_by {
            key.push(item.identity()?);
        }
        let slot = {
            let mut slots = lock(&self.slots);
            // Slots nobody waits for and whose network is gone.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || lock(&slot.0).strong_count() > 0);
            Arc::clone(slots.entry(key).or_default())
        };
        let mut loaded = lock(&slot.0);
        if let Some(network) = loaded.upgrade().filter(|network| network.is_current()) {
            return Ok(network);
        }
        let network = Arc::new(Network::load(source)?);
        *loaded = Arc::downgrade(&network);
        Ok(network)
    }
}
