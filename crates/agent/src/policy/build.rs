//! From what the file says to the policy: names looked up, defaults filled in.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use vaccel_abi::table::{OPS, find_by_name};

use super::file::{self, Allow, File, Quota, Rules};
use super::{GRACE, Match, Policy, Tenant};
use crate::identity::{Digest, digest_from_hex};
use crate::options::Options;
use crate::terms::{Library, Limits};

/// Crashes within the window that a tenant has where nothing is said.
const CRASHES: u64 = 20;
/// Weights that the kernel takes.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=10_000;
/// Room for the hashes of ten thousand tokens, with names.
const MAX_TOKEN_FILE: u64 = 1 << 20;
/// The greatest rate: one request a nanosecond.
const MAX_RATE: u64 = 1_000_000_000;

/// What is wrong, and where.
type Result<T> = std::result::Result<T, String>;

pub(super) fn policy(text: &str, folder: Option<&Path>, options: &Options) -> Result<Policy> {
    // Its messages name the line and what is expected.
    let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    let builder = Builder {
        text,
        folder,
        options,
        loaded: options.plugins(),
    };
    builder.build(&file)
}

struct Builder<'a> {
    text: &'a str,
    folder: Option<&'a Path>,
    options: &'a Options,
    /// Plugins that the agent's command line names.
    loaded: Vec<String>,
}

impl Builder<'_> {
    fn build(&self, file: &File) -> Result<Policy> {
        let mut names = BTreeSet::new();
        let mut tenants = Vec::new();
        for tenant in &file.tenant {
            let name = tenant.name.get_ref();
            self.check_name(&tenant.name)?;
            if !names.insert(name.clone()) {
                let what = format!("there is another tenant `{name}` before this one");
                return Err(self.at(tenant.name.span(), "name", &what));
            }
            tenants.push(self.tenant(tenant, &file.defaults)?);
        }
        let unknown = match &file.unknown {
            Some(name) if name.get_ref() != "refuse" => {
                let position = tenants.iter().position(|t| &t.name == name.get_ref());
                Some(position.ok_or_else(|| {
                    let what = format!(
                        "there is no tenant `{}`; name one of this file, or `refuse`",
                        name.get_ref()
                    );
                    self.at(name.span(), "unknown", &what)
                })?)
            }
            _ => None,
        };
        if tenants.is_empty() {
            return Err(
                "there is no tenant, so that nobody could connect; add [[tenant]] with `name` \
                 and `match`"
                    .to_owned(),
            );
        }
        for (i, tenant) in file.tenant.iter().enumerate() {
            if tenant.matches.is_empty() && unknown != Some(i) {
                let what = "nobody is this tenant: add `match`, or name it as `unknown`";
                return Err(self.at(tenant.name.span(), "match", what));
            }
        }
        Ok(Policy {
            file: None,
            tenants,
            unknown,
        })
    }

    fn check_name(&self, name: &Spanned<String>) -> Result<()> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let text = name.get_ref();
        let first = text.chars().next();
        if text.len() > 64
            || !first.is_some_and(|c| c.is_ascii_alphanumeric())
            || !text.chars().all(allowed)
            || text == "refuse"
        {
            let what = format!(
                "`{text}` is no name of a tenant: up to 64 letters, digits, `-`, `_` and `.`, \
                 not `refuse`"
            );
            return Err(self.at(name.span(), "name", &what));
        }
        Ok(())
    }

    fn tenant(&self, tenant: &file::Tenant, defaults: &Rules) -> Result<Tenant> {
        let (own, others) = (&tenant.allow, &defaults.allow);
        let matches = tenant.matches.iter().map(|m| self.matcher(m));
        let (quota, fallback) = (&tenant.quota, &defaults.quota);
        Ok(Tenant {
            name: tenant.name.get_ref().clone(),
            matches: matches.collect::<Result<_>>()?,
            worker: tenant
                .worker
                .or(defaults.worker)
                .unwrap_or(self.options.isolation.into()),
            weight: self.weight(tenant.weight.as_ref().or(defaults.weight.as_ref()))?,
            nice: self.nice(quota.nice.as_ref().or(fallback.nice.as_ref()))?,
            plugins: self.plugins(own, others)?,
            ops: self.ops(own, others)?,
            exec: Some(self.exec(own, others)?),
            client_code: own.client_code.or(others.client_code).unwrap_or(false),
            uploads: own.uploads.or(others.uploads).unwrap_or(true),
            connections: quota.connections.or(fallback.connections),
            crashes: Some(quota.crashes.or(fallback.crashes).unwrap_or(CRASHES)),
            limits: self.limits(quota, fallback)?,
            deadline: quota.deadline.or(fallback.deadline).map(|time| time.0),
            grace: quota.grace.or(fallback.grace).map_or(GRACE, |time| time.0),
        })
    }

    fn matcher(&self, spanned: &Spanned<file::Match>) -> Result<Match> {
        let from = spanned.get_ref().clone();
        let wrong = |key: &str, what: &str| self.at(spanned.span(), key, what);
        let digest = |key: &str, hex: &str| {
            digest_from_hex(hex).ok_or_else(|| {
                let what =
                    format!("`{hex}` is no SHA-256: 64 hexadecimal digits, as sha256sum prints");
                wrong(key, &what)
            })
        };
        let mut tokens = Vec::new();
        if let Some(hex) = &from.token_sha256 {
            tokens.push(digest("token_sha256", hex)?);
        }
        if let Some(path) = &from.token_file {
            let path = self.folder.map_or_else(|| path.clone(), |f| f.join(path));
            let read = tokens_of(&path).map_err(|e| wrong("token_file", &e))?;
            tokens.extend(read);
        }
        let fingerprint = from.fingerprint.as_deref();
        let fingerprint = fingerprint
            .map(|hex| digest("fingerprint", hex))
            .transpose()?;
        let made = Match {
            uid: from.uid,
            gid: from.gid,
            listener: from.listener,
            cid: from.cid,
            address: from.address,
            subject: from.subject,
            common_name: from.common_name,
            fingerprint,
            tokens,
        };
        if made == Match::default() {
            let what = "it names nothing, and would match everybody; name that tenant as `unknown` instead";
            return Err(wrong("match", what));
        }
        Ok(made)
    }

    fn weight(&self, weight: Option<&Spanned<u32>>) -> Result<u32> {
        match weight {
            None => Ok(100),
            Some(weight) if WEIGHTS.contains(weight.get_ref()) => Ok(*weight.get_ref()),
            Some(weight) => {
                let what = format!(
                    "{} is not between 1 and 10000; 100 is usual",
                    weight.get_ref()
                );
                Err(self.at(weight.span(), "weight", &what))
            }
        }
    }

    fn nice(&self, nice: Option<&Spanned<i32>>) -> Result<i32> {
        match nice {
            None => Ok(0),
            Some(nice) if (0..=19).contains(nice.get_ref()) => Ok(*nice.get_ref()),
            Some(nice) => {
                let what = format!("{} is not between 0 and 19", nice.get_ref());
                Err(self.at(nice.span(), "nice", &what))
            }
        }
    }

    fn plugins(&self, own: &Allow, others: &Allow) -> Result<Vec<String>> {
        let Some(list) = own.plugins.as_ref().or(others.plugins.as_ref()) else {
            return Ok(self.loaded.clone());
        };
        // `auto` stands for every backend that is installed: a tenant may have one of them.
        let any = self.loaded.iter().any(|name| name == "auto");
        for name in list {
            if !any && !self.loaded.contains(name.get_ref()) {
                let what = format!(
                    "the agent does not load `{}`, only: {}; add it to --plugins",
                    name.get_ref(),
                    self.loaded.join(", ")
                );
                return Err(self.at(name.span(), "plugins", &what));
            }
        }
        // In the order of the command line, which decides which one is asked first.
        let wanted = |name: &&String| list.iter().any(|entry| entry.get_ref() == *name);
        let loaded = self.loaded.iter().filter(wanted).cloned();
        let others = list.iter().map(|entry| entry.get_ref().clone());
        let others = others.filter(|name| !self.loaded.contains(name));
        Ok(loaded.chain(others).collect())
    }

    fn ops(&self, own: &Allow, others: &Allow) -> Result<Option<BTreeSet<&'static str>>> {
        let Some(list) = own.ops.as_ref().or(others.ops.as_ref()) else {
            return Ok(None);
        };
        if list.iter().any(|entry| entry.get_ref() == "*") {
            return Ok(None);
        }
        let mut names = BTreeSet::new();
        for entry in list {
            let text = entry.get_ref();
            let before = names.len();
            match text.strip_suffix('*') {
                Some(start) => names.extend(
                    OPS.iter()
                        .map(|spec| spec.name)
                        .filter(|name| name.starts_with(start)),
                ),
                None => names.extend(find_by_name(text).map(|spec| spec.name)),
            }
            let known = OPS.iter().map(|spec| spec.name);
            let found = known.clone().any(|name| match text.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == text,
            });
            if names.len() == before && !found {
                let what = format!(
                    "there is no operation `{text}`; there are {}, and `*` at the end of a name \
                     stands for the rest",
                    known.collect::<Vec<_>>().join(", ")
                );
                return Err(self.at(entry.span(), "ops", &what));
            }
        }
        Ok(Some(names))
    }

    fn exec(&self, own: &Allow, others: &Allow) -> Result<Vec<Library>> {
        let list = own.exec.as_ref().or(others.exec.as_ref());
        let list = list.into_iter().flatten();
        list.map(|entry| {
            let file::Library { path, blake3 } = entry.get_ref();
            let wrong = |key: &str, what: &str| self.at(entry.span(), key, what);
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                let what = format!("`{path}` must be absolute and without `..`");
                return Err(wrong("exec.path", &what));
            }
            let folder = path.ends_with("/*") || path.ends_with("/**");
            let star = path.strip_suffix("/**").or(path.strip_suffix("/*"));
            if star.unwrap_or(path).contains('*') || (folder && blake3.is_some()) {
                let what = "`/*` stands for the files of a folder, `/**` for all below it; at the \
                            end, and without a hash";
                return Err(wrong("exec.path", what));
            }
            let hex = blake3.as_deref().map(str::to_ascii_lowercase);
            if hex
                .as_deref()
                .is_some_and(|hex| digest_from_hex(hex).is_none())
            {
                let what = "a BLAKE3 hash is 64 hexadecimal digits, as b3sum prints";
                return Err(wrong("exec.blake3", what));
            }
            Ok(Library {
                path: path.clone(),
                blake3: hex,
            })
        })
        .collect()
    }

    fn limits(&self, own: &Quota, others: &Quota) -> Result<Limits> {
        let rate = own.rate.as_ref().or(others.rate.as_ref());
        if let Some(rate) = rate
            && !(1..=MAX_RATE).contains(rate.get_ref())
        {
            let what = format!(
                "{} is not between 1 and {MAX_RATE} requests a second",
                rate.get_ref()
            );
            return Err(self.at(rate.span(), "rate", &what));
        }
        let rate = rate.map(|rate| *rate.get_ref());
        let burst = own.burst.or(others.burst);
        Ok(Limits {
            sessions: own.sessions.or(others.sessions),
            resources: own.resources.or(others.resources),
            model_bytes: own.model_bytes.or(others.model_bytes).map(|size| size.0),
            in_flight: own.in_flight.or(others.in_flight),
            memory: own.memory.or(others.memory).map(|size| size.0),
            rate,
            burst: burst.or(rate).unwrap_or(1).max(1),
        })
    }

    /// A message with line and key.
    fn at(&self, span: Range<usize>, key: &str, what: &str) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        format!("line {line}: {key}: {what}")
    }
}

/// Hashes of tokens, one in a line, with anything after a space.
fn tokens_of(path: &Path) -> Result<Vec<Digest>> {
    let cannot = |e: &dyn std::fmt::Display| format!("cannot read {}: {e}", path.display());
    // A pipe or a device would hold up the agent, or never end.
    let about = std::fs::metadata(path).map_err(|e| cannot(&e))?;
    if !about.is_file() || about.len() > MAX_TOKEN_FILE {
        let what = format!("it is not a file of at most {MAX_TOKEN_FILE} bytes");
        return Err(cannot(&what));
    }
    let text = std::fs::read_to_string(path).map_err(|e| cannot(&e))?;
    let mut tokens = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let Some(hex) = line
            .split_whitespace()
            .next()
            .filter(|word| !word.starts_with('#'))
        else {
            continue;
        };
        tokens.push(digest_from_hex(hex).ok_or_else(|| {
            // Not the line itself: it may be a token.
            format!(
                "{}, line {number}: no SHA-256 of a token; `printf %s TOKEN | sha256sum` makes one",
                path.display()
            )
        })?);
    }
    if tokens.is_empty() {
        return Err(format!("{} has no token", path.display()));
    }
    Ok(tokens)
}
