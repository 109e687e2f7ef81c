//! The loaded models of a plugin, by session and resource.

use crate::backend::Model;
use crate::error::Result;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Session id, resource id.
type Key = (i64, i64);

/// Loaded models. Loading one holds the lock of that one alone; running holds
/// none.
#[derive(Debug, Default)]
pub(crate) struct Models {
    slots: RwLock<HashMap<Key, Arc<Slot>>>,
    /// How many slots there are: most resources are no models, and are told so
    /// without a lock.
    count: AtomicUsize,
}

#[derive(Default)]
struct Slot(Mutex<State>);

#[derive(Default)]
enum State {
    /// Being loaded, or its loading failed.
    #[default]
    Empty,
    Loaded(Arc<dyn Model>),
    /// Taken out of the map; whoever still holds the slot must look again.
    Gone,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

// A panic of the author's code while a lock is held leaves the state as it was
// before, so a poisoned lock is as good as any.
fn lock(slot: &Slot) -> std::sync::MutexGuard<'_, State> {
    slot.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Models {
    fn find(&self, key: Key) -> Option<Arc<Slot>> {
        // Whoever may ask for a model was told that it is loaded, and so sees the count.
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        slots.get(&key).cloned()
    }

    fn remove(&self, key: Key, slot: &Arc<Slot>) {
        let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
        if slots
            .get(&key)
            .is_some_and(|found| Arc::ptr_eq(found, slot))
        {
            slots.remove(&key);
            self.count.store(slots.len(), Ordering::Release);
        }
    }

    /// The loaded model; `ENOENT` when there is none.
    pub(crate) fn get(&self, session: i64, resource: i64) -> Result<Arc<dyn Model>> {
        if let Some(slot) = self.find((session, resource))
            && let State::Loaded(model) = &*lock(&slot)
        {
            return Ok(Arc::clone(model));
        }
        Err(crate::err!(
            ENOENT,
            "resource {resource} is not loaded in session {session}: load the model first"
        ))
    }

    /// The loaded model, or what `load` makes. Two threads that load the same
    /// one load it once.
    pub(crate) fn load(
        &self,
        session: i64,
        resource: i64,
        load: impl FnOnce() -> Result<Box<dyn Model>>,
    ) -> Result<Arc<dyn Model>> {
        let key = (session, resource);
        loop {
            let slot = self.find(key).unwrap_or_else(|| {
                let mut slots = self.slots.write().unwrap_or_else(PoisonError::into_inner);
                let slot = Arc::clone(slots.entry(key).or_default());
                self.count.store(slots.len(), Ordering::Release);
                slot
            });
            let mut state = lock(&slot);
            match &*state {
                State::Loaded(model) => return Ok(Arc::clone(model)),
                State::Gone => {}
                State::Empty => {
                    // A panic here is caught further up, like an error; the
                    // empty slot must not stay then either.
                    let model = match crate::raw::catch(load) {
                        Ok(model) => Arc::<dyn Model>::from(model),
                        Err(e) => {
                            *state = State::Gone;
                            self.remove(key, &slot);
                            return Err(e);
                        }
                    };
                    *state = State::Loaded(Arc::clone(&model));
                    return Ok(model);
                }
            }
        }
    }

    /// Forgets a model; `ENOENT` when it is not loaded. A run that goes on
    /// keeps it until it is done.
    pub(crate) fn unload(&self, session: i64, resource: i64) -> Result<()> {
        if self.forget(session, resource) {
            return Ok(());
        }
        Err(crate::err!(
            ENOENT,
            "resource {resource} is not loaded in session {session}"
        ))
    }

    /// Forgets a model; false when it is not loaded, as most resources are not.
    pub(crate) fn forget(&self, session: i64, resource: i64) -> bool {
        let key = (session, resource);
        let Some(slot) = self.find(key) else {
            return false;
        };
        // Waits for a load that is under way.
        let state = std::mem::replace(&mut *lock(&slot), State::Gone);
        self.remove(key, &slot);
        // A model is dropped here, under no lock: it may take long.
        matches!(state, State::Loaded(_))
    }

    /// Forgets all models of a session.
    pub(crate) fn close(&self, session: i64) {
        let slots = self.slots.read().unwrap_or_else(PoisonError::into_inner);
        let resources: Vec<i64> = slots
            .keys()
            .filter(|(s, _)| *s == session)
            .map(|(_, r)| *r)
            .collect();
        drop(slots);
        for resource in resources {
            // Unloaded meanwhile by another thread: just as well.
            let _ = self.unload(session, resource);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::ModelInfo;
    use crate::code;
    use crate::tensor::{TensorOut, TensorView};
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(Arc<AtomicUsize>);
    impl Model for Counted {
        fn info(&self) -> ModelInfo {
            ModelInfo::default()
        }
        fn run(&self, _: &[TensorView<'_>], _: &mut [TensorOut<'_>]) -> Result<()> {
            Ok(())
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn loader(live: &Arc<AtomicUsize>) -> impl FnOnce() -> Result<Box<dyn Model>> {
        let live = Arc::clone(live);
        move || {
            live.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Counted(live)))
        }
    }

    #[test]
    fn a_model_is_loaded_once_and_dropped_with_its_session() {
        let (models, live) = (Models::default(), Arc::new(AtomicUsize::new(0)));
        models.load(1, 7, loader(&live)).unwrap();
        models.load(1, 7, || panic!("loaded twice")).unwrap();
        models.load(1, 8, loader(&live)).unwrap();
        models.load(2, 7, loader(&live)).unwrap();
        assert_eq!(live.load(Ordering::SeqCst), 3);
        models.close(1);
        assert_eq!(live.load(Ordering::SeqCst), 1);
        assert_eq!(models.get(1, 7).err().unwrap().code(), code::ENOENT);
        models.get(2, 7).unwrap();
        models.unload(2, 7).unwrap();
        assert_eq!(models.unload(2, 7).unwrap_err().code(), code::ENOENT);
        assert_eq!(live.load(Ordering::SeqCst), 0);
        assert!(models.slots.read().unwrap().is_empty());
    }

    #[test]
    fn a_load_that_fails_or_panics_leaves_nothing_behind() {
        let models = Models::default();
        let e = models.load(1, 1, || crate::bail!(ENODEV, "no device"));
        assert_eq!(e.err().unwrap().code(), code::ENODEV);
        let e = models.load(1, 1, || panic!("bad file"));
        assert!(e.err().unwrap().message().contains("bad file"));
        assert!(models.slots.read().unwrap().is_empty());
        models
            .load(1, 1, loader(&Arc::new(AtomicUsize::new(0))))
            .unwrap();
    }

    #[test]
    fn threads_that_load_and_unload_the_same_model_agree() {
        let (models, live) = (Models::default(), Arc::new(AtomicUsize::new(0)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        models.load(1, 1, loader(&live)).unwrap();
                        assert!(live.load(Ordering::SeqCst) <= 5);
                        let _ = models.unload(1, 1);
                    }
                });
            }
        });
        models.close(1);
        assert_eq!(live.load(Ordering::SeqCst), 0);
    }
}
