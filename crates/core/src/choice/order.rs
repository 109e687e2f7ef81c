//! Who could do it, from the best to the last, and why nobody can.

use super::probe::{self, State};
use super::table;
use crate::plugin::{self, Plugin};
use crate::{Error, err, log_debug, op};
use std::fmt::Display;
use vaccel_abi::op::{OP_MODEL_LOAD, OpType};
use vaccel_abi::plugin::{PLUGIN_CPU, PLUGIN_FPGA, PLUGIN_GPU, PluginType};

/// Candidates, the best first, with what speaks against those that were tried.
pub(super) struct Order {
    row: &'static [&'static str],
    candidates: Vec<&'static Plugin>,
    refused: Vec<String>,
}

impl Order {
    /// For models of a format; `None`: of a format that nobody could tell.
    pub(super) fn of_format(format: Option<&str>, hint: PluginType) -> Self {
        let row = format.map_or(&[][..], table::of_format);
        let known = table::all();
        Self::new(row, hint, |plugin| {
            op::offered_by(plugin, OP_MODEL_LOAD)
                && match format {
                    // Those that a row names elsewhere are known not to read it.
                    Some(format) if row.contains(&plugin.name()) => !format.is_empty(),
                    Some(_) if known.contains(&plugin.name()) => false,
                    Some(format) => probe::reads(plugin, format),
                    None => true,
                }
        })
    }

    /// For an operation without a model.
    pub(super) fn of_operation(op: OpType, hint: PluginType) -> Self {
        Self::new(table::of_operation(op), hint, |plugin| {
            op::offered_by(plugin, op)
        })
    }

    /// For an operation on pictures, those that need no model of the session's.
    pub(super) fn with_own_models(op: OpType, hint: PluginType) -> Self {
        let row = table::of_operation(op);
        Self::new(row, hint, |plugin| {
            row.contains(&plugin.name()) && op::offered_by(plugin, op)
        })
    }

    fn new(row: &'static [&'static str], hint: PluginType, fits: impl Fn(&Plugin) -> bool) -> Self {
        let mut candidates: Vec<_> = plugin::all()
            .into_iter()
            .filter(|plugin| op::is_backend_of_ours(plugin) && fits(plugin))
            .collect();
        let place = |plugin: &Plugin| {
            let named = row.iter().position(|name| *name == plugin.name());
            (!is_meant(plugin, hint), named.unwrap_or(row.len()))
        };
        // Stable: those that no row names stay in the order of loading.
        candidates.sort_by_key(|plugin| place(plugin));
        let absent = |name: &&&str| plugin::all().iter().all(|p| p.name() != **name);
        Self {
            row,
            candidates,
            refused: row
                .iter()
                .filter(absent)
                .map(|name| format!("`{name}` is not installed"))
                .collect(),
        }
    }

    /// Puts a backend first that somebody has named; false when it is not loaded.
    pub(super) fn prefer(&mut self, name: &str) -> bool {
        let Some(named) = loaded(name) else {
            return false;
        };
        self.candidates.retain(|other| !std::ptr::eq(*other, named));
        self.candidates.insert(0, named);
        true
    }

    /// True when it is among the candidates.
    pub(super) fn has(&self, plugin: &Plugin) -> bool {
        self.candidates.iter().any(|p| std::ptr::eq(*p, plugin))
    }

    /// Leaves nobody but the first.
    pub(super) fn only_first(&mut self) {
        self.candidates.truncate(1);
        self.refused.clear();
    }

    /// The next one that is ready.
    pub(super) fn next(&mut self) -> Option<&'static Plugin> {
        while !self.candidates.is_empty() {
            let plugin = self.candidates.remove(0);
            match probe::state(plugin) {
                State::Ready => return Some(plugin),
                State::Missing { what, remedy } => {
                    log_debug!("auto: `{}` cannot: {what}", plugin.name());
                    // Many a text of what is missing ends with what to do.
                    let text = match remedy.is_empty() || what.contains(&remedy) {
                        true => what,
                        false => format!("{what}; {remedy}"),
                    };
                    self.refused.push(format!("`{}`: {text}", plugin.name()));
                }
            }
        }
        None
    }

    /// Notes why one that was ready does not do.
    pub(super) fn refuse(&mut self, plugin: &Plugin, why: &Error) {
        self.refused
            .push(format!("`{}`: {}", plugin.name(), why.message()));
    }

    /// The error when nobody can: each candidate, with its remedy.
    pub(super) fn nobody(self, what: impl Display) -> Error {
        let all = match (self.refused.is_empty(), self.row.is_empty()) {
            (false, _) => self.refused.join(". "),
            (true, false) => format!("install one of: {}", self.row.join(", ")),
            (true, true) => "no installed backend does; `vaccel info` lists them".to_owned(),
        };
        err!(ENOTSUP, "no backend is ready for {what}. {all}")
    }
}

/// A loaded backend by its name.
pub(super) fn loaded(name: &str) -> Option<&'static Plugin> {
    plugin::all()
        .into_iter()
        .find(|plugin| plugin.name() == name && op::is_backend_of_ours(plugin))
}

/// Whether the flags of a session mean a backend; all are meant by none.
fn is_meant(plugin: &Plugin, hint: PluginType) -> bool {
    let named: Vec<_> = table::FLAGS
        .iter()
        .filter(|(flag, _)| hint & flag != 0)
        .collect();
    // All flags at once say nothing.
    if !named.is_empty() && named.len() < table::FLAGS.len() {
        return named.iter().any(|(_, name)| *name == plugin.name());
    }
    let devices = PLUGIN_CPU | PLUGIN_GPU | PLUGIN_FPGA;
    match hint & devices {
        0 => true,
        wanted => plugin.info().type_ & wanted != 0,
    }
}
