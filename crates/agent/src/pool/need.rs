//! How many workers there should be, of which plugins.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::worker::{State, Use, plugins_of};
use super::{Connection, Plugins, Pool, Worker};
use crate::policy::Worker as Mode;

/// What is wanted of workers with the same plugins.
#[derive(Debug)]
pub(super) struct Need {
    pub(super) plugins: Plugins,
    /// Workers without a tenant.
    free: usize,
    /// Some of them for clients that wait.
    pub(super) waited_for: bool,
}

impl Pool {
    /// How many workers should be started, of which plugins.
    pub(super) fn missing(&self, waiting: &VecDeque<Connection>) -> Vec<(Need, usize)> {
        let mut missing = Vec::new();
        for need in self.needs(waiting) {
            let there = |w: &&Worker| {
                w.plugins == need.plugins && (w.is_free() || matches!(w.state, State::Starting(_)))
            };
            let there = self.workers.iter().filter(there).count();
            if need.free > there {
                let count = need.free - there;
                missing.push((need, count));
            }
        }
        missing
    }

    /// Workers without a tenant that there should be: for clients that wait, and to spare.
    fn needs(&self, waiting: &VecDeque<Connection>) -> Vec<Need> {
        let mut needs: Vec<Need> = Vec::new();
        // Without a policy, a shared worker has no other beside it.
        let spare = |mode: Mode, plugins: &Plugins| match mode {
            Mode::Shared if self.tenants.policy().file.is_none() => {
                usize::from(!self.has(Use::Shared, plugins))
            }
            _ => self.settings.idle,
        };
        for (_, known) in self.tenants.all().filter(|(_, known)| !known.is_gone()) {
            let plugins = plugins_of(&known.tenant.plugins);
            let free = spare(known.tenant.worker, &plugins);
            match needs.iter_mut().find(|need| need.plugins == plugins) {
                Some(need) => need.free = need.free.max(free),
                None => needs.push(Need {
                    plugins,
                    free,
                    waited_for: false,
                }),
            }
        }
        let mut counted = HashSet::new();
        for connection in waiting {
            let Some(known) = self.tenants.get(connection.tenant) else {
                continue;
            };
            let plugins = plugins_of(&known.tenant.plugins);
            // One worker will do for all of a tenant, or for all who share.
            let together = match known.tenant.worker {
                Mode::Connection => None,
                Mode::Tenant => Some(Some(connection.tenant)),
                Mode::Shared => Some(None),
            };
            let first = together.is_none_or(|whose| counted.insert((whose, Arc::clone(&plugins))));
            let need = needs.iter_mut().find(|need| need.plugins == plugins);
            if let (true, Some(need)) = (first, need) {
                let alone = known.tenant.worker == Mode::Shared && need.free > 0;
                // Who shares is served by the one that is there to be shared.
                if !(alone && self.tenants.policy().file.is_none()) {
                    need.free += 1;
                }
                need.waited_for = true;
            }
        }
        needs
    }

    fn has(&self, used: Use, plugins: &Plugins) -> bool {
        let live = |w: &Worker| w.state == State::Ready && w.used == used && w.plugins == *plugins;
        self.workers.iter().any(live)
    }

    pub(super) fn starting(&self) -> usize {
        let starting = |w: &&Worker| matches!(w.state, State::Starting(_));
        self.workers.iter().filter(starting).count()
    }
}
