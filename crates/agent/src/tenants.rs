//! The tenants of the agent while it runs: what they have, and what they are told.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use vaccel_abi::error::{EACCES, EREMOTEIO, EUSERS};

use crate::identity::Identity;
use crate::ledger::{Ledger, Quota, ROWS};
use crate::options::Options;
use crate::policy::{CRASH_WINDOW, Policy, Tenant};
use crate::{info, warn};

/// All tenants, by number.
#[derive(Debug)]
pub struct Tenants {
    policy: Policy,
    known: Vec<Known>,
    /// Changes with each policy.
    version: u64,
}

/// A tenant that the agent knows.
#[derive(Debug)]
pub struct Known {
    /// What the policy says.
    pub tenant: Tenant,
    /// What workers are told, as text.
    terms: String,
    ledger: Arc<Ledger>,
    descriptor: OwnedFd,
    /// Rows of the ledger that workers have.
    rows: Vec<bool>,
    /// Connections that wait or are served.
    connections: u64,
    /// When its workers crashed, those that still count.
    crashes: VecDeque<Instant>,
    /// The policy does not name it any more.
    gone: bool,
}

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// An error code.
    pub code: i32,
    /// For the client and the log.
    pub text: String,
}

impl Tenants {
    /// Those of a policy.
    ///
    /// # Errors
    /// When there is no memory to count in, or too much to tell workers.
    pub fn new(policy: Policy, options: &Options) -> Result<Self> {
        let mut tenants = Self {
            policy: Policy {
                tenants: Vec::new(),
                ..policy.clone()
            },
            known: Vec::new(),
            version: 0,
        };
        tenants.adopt(policy, options)?;
        Ok(tenants)
    }

    /// Goes on with another policy. What a tenant uses stays counted; connections of
    /// tenants that are gone are the caller's to end.
    ///
    /// # Errors
    /// As [`new`](Self::new); then everything is as before.
    pub fn adopt(&mut self, policy: Policy, options: &Options) -> Result<()> {
        let mut fresh = Vec::new();
        let mut terms = Vec::new();
        for tenant in &policy.tenants {
            let text = tenant
                .terms(options)
                .to_text()
                .map_err(anyhow::Error::msg)?;
            if !self.known.iter().any(|k| k.tenant.name == tenant.name) {
                fresh.push(Known::new(tenant.clone(), text.clone())?);
            }
            terms.push(text);
        }
        self.known.extend(fresh);
        for known in &mut self.known {
            let position = policy
                .tenants
                .iter()
                .position(|t| t.name == known.tenant.name);
            known.gone = position.is_none();
            if let Some(i) = position {
                known.tenant = policy.tenants[i].clone();
                known.terms.clone_from(&terms[i]);
            }
        }
        self.policy = policy;
        self.version += 1;
        Ok(())
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Changes whenever workers have to be told anew.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All of them, with their numbers, those that the policy does not name any more too.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Known)> {
        (0..).zip(&self.known)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Known> {
        self.known.get(usize::try_from(number).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Known> {
        self.known.get_mut(usize::try_from(number).ok()?)
    }

    /// Lets a client in, as one of the tenants, and counts its connection.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&mut self, client: &Identity, now: Instant) -> Result<u64, Refusal> {
        let Some(tenant) = self.policy.tenant_of(client) else {
            let text = "the agent's policy names no tenant that you are".to_owned();
            return Err(Refusal { code: EACCES, text });
        };
        let position = self.known.iter().position(|k| k.tenant.name == tenant.name);
        let Some(i) = position else {
            let text = "the agent does not know its own tenant".to_owned();
            return Err(Refusal { code: EACCES, text });
        };
        let known = &mut self.known[i];
        known.may_connect(now)?;
        known.connections += 1;
        Ok(i as u64)
    }

    /// A connection has ended, or was never served.
    pub fn left(&mut self, tenant: u64) {
        if let Some(known) = self.get_mut(tenant) {
            known.connections = known.connections.saturating_sub(1);
        }
    }

    /// A worker that served only this tenant has crashed.
    pub fn crashed(&mut self, tenant: u64, now: Instant) {
        if let Some(known) = self.get_mut(tenant) {
            known.crashes.push_back(now);
            known.forget_crashes(now);
        }
    }

    /// A row of a tenant's ledger for a worker.
    pub fn take_row(&mut self, tenant: u64) -> Option<usize> {
        self.get_mut(tenant)?.take_row()
    }

    /// The worker that had a row has ended.
    pub fn free_row(&mut self, tenant: u64, row: usize) {
        if let Some(known) = self.get_mut(tenant) {
            known.ledger.wipe(row);
            if let Some(taken) = known.rows.get_mut(row) {
                *taken = false;
            }
        }
    }
}

impl Known {
    fn new(tenant: Tenant, terms: String) -> Result<Self> {
        let (ledger, descriptor) = Ledger::create()
            .with_context(|| format!("cannot count what tenant `{}` uses", tenant.name))?;
        Ok(Self {
            tenant,
            terms,
            ledger: Arc::new(ledger),
            descriptor,
            rows: Vec::new(),
            connections: 0,
            crashes: VecDeque::new(),
            gone: false,
        })
    }

    /// What it uses, and what was refused.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The ledger, for workers.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// What workers are told.
    #[must_use]
    pub fn terms(&self) -> &str {
        &self.terms
    }

    /// Connections that wait or are served.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// True when the policy does not name it any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    fn may_connect(&mut self, now: Instant) -> Result<(), Refusal> {
        let name = &self.tenant.name;
        if let Some(most) = self
            .tenant
            .connections
            .filter(|&most| self.connections >= most)
        {
            self.ledger.refuse(Quota::Connections);
            let text = format!(
                "quota `connections` of tenant `{name}`: there are {} already, and {most} is \
                 the most",
                self.connections
            );
            return Err(Refusal { code: EUSERS, text });
        }
        self.forget_crashes(now);
        let crashes = self.crashes.len() as u64;
        if let Some(most) = self.tenant.crashes.filter(|&most| crashes > most) {
            self.ledger.refuse(Quota::Crashes);
            let first = self.crashes.front().copied().unwrap_or(now);
            let wait = (first + CRASH_WINDOW).saturating_duration_since(now);
            let text = format!(
                "quota `crashes` of tenant `{}`: its workers have crashed {crashes} times within \
                 {CRASH_WINDOW:?}, and {most} is the most; try again in {:.1} s",
                self.tenant.name,
                wait.as_secs_f32()
            );
            return Err(Refusal {
                code: EREMOTEIO,
                text,
            });
        }
        Ok(())
    }

    fn forget_crashes(&mut self, now: Instant) {
        while self
            .crashes
            .front()
            .is_some_and(|&at| at + CRASH_WINDOW <= now)
        {
            self.crashes.pop_front();
        }
        // No more than count, whatever happens.
        let most = self.tenant.crashes.unwrap_or(0).saturating_add(1);
        while self.crashes.len() as u64 > most {
            self.crashes.pop_front();
        }
    }

    fn take_row(&mut self) -> Option<usize> {
        let row = match self.rows.iter().position(|taken| !taken) {
            Some(row) => row,
            None if self.rows.len() < ROWS => {
                self.rows.push(false);
                self.ledger.set_rows(self.rows.len());
                self.rows.len() - 1
            }
            None => return None,
        };
        self.rows[row] = true;
        Some(row)
    }
}

/// Reads the policy again.
///
/// True when it was good; otherwise the old one stays, and the log says why.
pub fn reload(tenants: &mut Tenants, options: &Options) -> bool {
    let read = Policy::of(options).and_then(|policy| {
        tenants.adopt(policy, options)?;
        Ok(tenants.policy.tenants.len())
    });
    match read {
        Ok(count) => {
            if let Some(file) = &tenants.policy.file {
                info!("policy {} read again: {count} tenants", file.display());
            }
            true
        }
        Err(e) => {
            warn!("the policy stays as it was: {e:#}");
            false
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::time::Duration;

    fn options() -> Options {
        Options::parse_from(["vaccel-agent", "--plugins", "noop", "--policy", "none"])
    }

    fn tenants(text: &str) -> Tenants {
        let options = options();
        let policy = Policy::parse(text, None, &options).unwrap();
        Tenants::new(policy, &options).unwrap()
    }

    fn by(listener: &str) -> Identity {
        Identity {
            listener: vec![listener.to_owned()],
            ..Identity::default()
        }
    }

    const TWO: &str = r#"
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        quota = { connections = 2, crashes = 3 }
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
    "#;

    #[test]
    fn connections_are_counted_by_tenant() {
        let mut tenants = tenants(TWO);
        let now = Instant::now();
        let a = tenants.admit(&by("a"), now).unwrap();
        assert_eq!(tenants.admit(&by("a"), now), Ok(a));
        let refusal = tenants.admit(&by("a"), now).unwrap_err();
        assert_eq!(refusal.code, EUSERS);
        assert!(
            refusal.text.contains("`connections` of tenant `a`"),
            "{refusal:?}"
        );
        assert_eq!(
            tenants.get(a).unwrap().ledger().refused(Quota::Connections),
            1
        );
        tenants.admit(&by("b"), now).unwrap();
        tenants.left(a);
        tenants.admit(&by("a"), now).unwrap();
        assert_eq!(tenants.admit(&by("c"), now).unwrap_err().code, EACCES);
    }

    #[test]
    fn a_tenant_whose_workers_crash_again_and_again_has_to_wait_and_others_do_not() {
        let mut tenants = tenants(TWO);
        let now = Instant::now();
        for _ in 0..10 {
            tenants.crashed(0, now);
        }
        let refusal = tenants.admit(&by("a"), now).unwrap_err();
        assert!(
            refusal.text.contains("`crashes` of tenant `a`"),
            "{refusal:?}"
        );
        tenants.admit(&by("b"), now).unwrap();
        let later = now + CRASH_WINDOW + Duration::from_millis(1);
        tenants.admit(&by("a"), later).unwrap();
    }

    #[test]
    fn a_new_policy_keeps_what_is_counted_and_tells_who_is_gone() {
        let mut tenants = tenants(TWO);
        let a = tenants.admit(&by("a"), Instant::now()).unwrap();
        let options = options();
        let text = TWO
            .replace("\"b\"", "\"c\"")
            .replace("connections = 2", "connections = 1");
        tenants
            .adopt(Policy::parse(&text, None, &options).unwrap(), &options)
            .unwrap();
        let refusal = tenants.admit(&by("a"), Instant::now()).unwrap_err();
        assert!(refusal.text.contains("1 is the most"), "{refusal:?}");
        let gone: Vec<_> = tenants
            .all()
            .filter(|(_, k)| k.is_gone())
            .map(|(n, _)| n)
            .collect();
        assert_eq!(gone, [1]);
        assert_ne!(tenants.admit(&by("c"), Instant::now()).unwrap(), a);
        assert_eq!(
            tenants.admit(&by("b"), Instant::now()).unwrap_err().code,
            EACCES
        );
    }

    #[test]
    fn rows_are_used_again_and_are_empty_then() {
        let mut tenants = tenants(TWO);
        let (one, two) = (tenants.take_row(0).unwrap(), tenants.take_row(0).unwrap());
        assert_ne!(one, two);
        let take = |t: &Tenants| t.get(0).unwrap().ledger().take(one, Quota::Sessions, 5, 5);
        assert_eq!(take(&tenants), Ok(()));
        tenants.free_row(0, one);
        assert_eq!(tenants.take_row(0), Some(one));
        assert_eq!(take(&tenants), Ok(()));
    }
}
