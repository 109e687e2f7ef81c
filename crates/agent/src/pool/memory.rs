//! The memory of workers, held to what their tenants may have.

use std::time::Duration;

use super::{Pool, Worker};
use crate::fair;
use crate::ledger::Quota;
use crate::terms::Limits;
use crate::warn;

/// How often the memory of workers is looked at, where a tenant has a limit.
pub(super) const MEMORY_TICK: Duration = Duration::from_millis(100);
/// What a worker has before it serves anybody is not held against its tenant.
const MEMORY_OF_ITS_OWN: u64 = 64 << 20;

/// What the control group of one worker of a tenant may take, which is counted with files in memory:
/// what the tenant may send lies there. All of its workers together are looked at below.
pub(super) fn bound(limits: &Limits) -> Option<u64> {
    let (memory, models) = limits.memory.zip(limits.model_bytes)?;
    let both = memory.saturating_add(models);
    Some(both.saturating_add(MEMORY_OF_ITS_OWN))
}

impl Pool {
    /// Kills the largest worker of a tenant whose workers have more memory than it may. True
    /// when there is somebody to look at again.
    pub(super) fn enforce_memory(&mut self) -> bool {
        let mut more = false;
        for (tenant, known) in self.tenants.all() {
            let Some(most) = known.tenant.limits.memory else {
                continue;
            };
            let own = |w: &&mut Worker| w.used.only() == Some(tenant) && w.is_heard();
            let sizes = self.workers.iter_mut().filter(own).map(|worker| {
                let size = fair::memory_of(worker.process.id()).unwrap_or(0);
                (size.saturating_sub(MEMORY_OF_ITS_OWN), worker)
            });
            let mut sizes: Vec<_> = sizes.collect();
            more |= !sizes.is_empty();
            let sum: u64 = sizes.iter().map(|(size, _)| size).sum();
            if sum <= most {
                continue;
            }
            if let Some((_, worker)) = sizes.iter_mut().max_by_key(|(size, _)| *size) {
                let verdict = format!(
                    "quota `memory` of tenant `{}`: its workers take {} MiB, and {} MiB is the most",
                    known.tenant.name,
                    sum >> 20,
                    most >> 20
                );
                warn!("killing worker {}: {verdict}", worker.number);
                known.ledger().refuse(Quota::Memory);
                worker.verdict.get_or_insert(verdict);
                worker.kill();
            }
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_has_room_for_what_a_tenant_may_send_and_no_bound_where_that_has_none() {
        let mut limits = Limits {
            memory: Some(1 << 30),
            ..Limits::default()
        };
        assert_eq!(bound(&limits), None);
        limits.model_bytes = Some(2 << 30);
        assert_eq!(bound(&limits), Some((3 << 30) + MEMORY_OF_ITS_OWN));
        limits.memory = Some(u64::MAX);
        assert_eq!(bound(&limits), Some(u64::MAX));
    }
}
