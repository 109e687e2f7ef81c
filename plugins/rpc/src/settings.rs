//! What the environment says.

use crate::retry::Retry;
use std::path::PathBuf;
use std::time::Duration;
use vaccel_plugin::{Error, Result, err};
use vaccel_transport::tls::Security;
use vaccel_transport::{Address, Options};
use vaccel_wire::Trace;

/// Where the agent is unless the environment says otherwise.
const DEFAULT_ADDRESS: &str = "tcp://127.0.0.1:65500";

/// Name and meaning of each variable, for `describe` and the README.
pub(crate) const VARIABLES: [(&str, &str); 16] = [
    (
        "VACCEL_RPC_ADDRESS",
        "where the agent is: unix:///PATH, tcp://HOST:PORT, tls://HOST:PORT or \
         vsock://CID:PORT; tcp://127.0.0.1:65500 unless set",
    ),
    (
        "VACCEL_RPC_PROTOCOL",
        "native, ttrpc for agents of the C implementation, or auto, which tries ttrpc where \
         the native protocol is not understood; auto unless set",
    ),
    (
        "VACCEL_RPC_TIMEOUT",
        "seconds that an operation may take, for example 2.5; those of VACCEL_TIMEOUT unless set",
    ),
    (
        "VACCEL_TIMEOUT",
        "seconds that an operation may take, for all plugins that can tell; 60 unless set",
    ),
    (
        "VACCEL_RPC_CONNECT_TIMEOUT",
        "seconds to wait for the agent when connecting; 5 unless set",
    ),
    (
        "VACCEL_RPC_TOKEN",
        "bearer token, where the agent asks for one",
    ),
    (
        "VACCEL_RPC_TLS_CA",
        "PEM file with the authorities whose agents are believed, for tls:// addresses",
    ),
    (
        "VACCEL_RPC_TLS_CERT",
        "PEM file with the certificate of this client, where the agent asks for one",
    ),
    ("VACCEL_RPC_TLS_KEY", "PEM file with its private key"),
    (
        "VACCEL_RPC_TLS_NAME",
        "name in the agent's certificate; the host of the address unless set",
    ),
    (
        "VACCEL_RPC_ALLOW_PLAINTEXT",
        "1 lets tcp:// addresses lead to other machines although nothing is encrypted",
    ),
    (
        "VACCEL_RPC_MODE",
        "what is spent to see replies in shared memory sooner: latency, balanced or \
         low-cpu; balanced unless set",
    ),
    (
        "VACCEL_RPC_SHARED",
        "0 to share no memory with an agent on a Unix socket; 1 unless set",
    ),
    (
        "VACCEL_RPC_RETRY",
        "never, or idempotent: operations that change nothing are made again when the \
         connection breaks under them; never unless set",
    ),
    (
        "VACCEL_RPC_RETRY_LIMIT",
        "how often one operation may be made again; 3 unless set",
    ),
    (
        "TRACEPARENT",
        "the span that operations are part of (W3C Trace Context), for agents that record \
         traces; what is no such text is ignored",
    ),
];

/// Where the agent is and how long to wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) options: Options,
    pub(crate) retry: Retry,
    pub(crate) protocol: Protocol,
}

/// Which protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The native one; ttrpc where that is not understood.
    Auto,
    /// The native one.
    Native,
    /// That of the C implementation.
    Ttrpc,
}

impl Settings {
    /// Reads the environment; `variable` gives the value of a name.
    ///
    /// # Errors
    /// `EINVAL` that names the variable and what to write.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut address = variable("VACCEL_RPC_ADDRESS");
        if let Some(old) = variable("VACCEL_RPC_ADDR") {
            eprintln!("Warning: VACCEL_RPC_ADDR is deprecated. Use VACCEL_RPC_ADDRESS instead.");
            address.get_or_insert(old);
        }
        let address = address.as_deref().unwrap_or(DEFAULT_ADDRESS);
        let address = address
            .parse::<Address>()
            .map_err(|e| Error::invalid(format!("VACCEL_RPC_ADDRESS: {e}")))?;
        let seconds = |name: &str, default: f64| match variable(name) {
            Some(text) => parse_seconds(name, &text),
            None => Ok(Duration::from_secs_f64(default)),
        };
        let all = seconds("VACCEL_TIMEOUT", 60.0)?;
        let options = Options {
            timeout: seconds("VACCEL_RPC_TIMEOUT", all.as_secs_f64())?,
            connect_timeout: seconds("VACCEL_RPC_CONNECT_TIMEOUT", 5.0)?,
            token: variable("VACCEL_RPC_TOKEN").map(String::into_bytes),
            security: security(&variable)?,
            mode: match variable("VACCEL_RPC_MODE") {
                Some(text) => text
                    .parse()
                    .map_err(|e| err!(EINVAL, "VACCEL_RPC_MODE: {e}"))?,
                None => vaccel_transport::shm::Mode::default(),
            },
            share_memory: match variable("VACCEL_RPC_SHARED").as_deref() {
                None | Some("1") => true,
                Some("0") => false,
                Some(other) => {
                    return Err(err!(EINVAL, "VACCEL_RPC_SHARED is `{other}`; write 0 or 1"));
                }
            },
            trace: variable("TRACEPARENT").and_then(|text| Trace::parse(text.trim())),
            ..Options::default()
        };
        Ok(Self {
            address,
            options,
            retry: retry(&variable)?,
            protocol: match variable("VACCEL_RPC_PROTOCOL").as_deref() {
                None | Some("auto") => Protocol::Auto,
                Some("native") => Protocol::Native,
                Some("ttrpc") => Protocol::Ttrpc,
                Some(other) => {
                    return Err(err!(
                        EINVAL,
                        "VACCEL_RPC_PROTOCOL is `{other}`; it is auto, native or ttrpc"
                    ));
                }
            },
        })
    }

    /// Reads the environment of this process.
    ///
    /// # Errors
    /// As [`read`](Self::read); `EINVAL` for a value that is not UTF-8.
    pub(crate) fn from_env() -> Result<Self> {
        for (name, _) in VARIABLES {
            if std::env::var_os(name).is_some_and(|value| value.to_str().is_none()) {
                vaccel_plugin::bail!(EINVAL, "{name} is not UTF-8");
            }
        }
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }
}

fn retry(variable: &impl Fn(&str) -> Option<String>) -> Result<Retry> {
    let name = "VACCEL_RPC_RETRY_LIMIT";
    let limit = match variable(name) {
        None => 3,
        Some(text) => match text.parse() {
            Ok(limit @ 0..=100) => limit,
            _ => {
                return Err(err!(
                    EINVAL,
                    "{name} is `{text}`; it is a number from 0 to 100"
                ));
            }
        },
    };
    let name = "VACCEL_RPC_RETRY";
    match variable(name).as_deref() {
        None | Some("never") => Ok(Retry::Never),
        Some("idempotent") => Ok(Retry::Idempotent(limit)),
        Some(other) => Err(err!(
            EINVAL,
            "{name} is `{other}`; it is never or idempotent"
        )),
    }
}

fn security(variable: &impl Fn(&str) -> Option<String>) -> Result<Security> {
    let file = |name: &str| variable(name).map(PathBuf::from);
    let name = "VACCEL_RPC_ALLOW_PLAINTEXT";
    let allow_plaintext = match variable(name).as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(other) => return Err(err!(EINVAL, "{name} is `{other}`; it is 0 or 1")),
    };
    Ok(Security {
        ca: file("VACCEL_RPC_TLS_CA"),
        certificate: file("VACCEL_RPC_TLS_CERT"),
        key: file("VACCEL_RPC_TLS_KEY"),
        name: variable("VACCEL_RPC_TLS_NAME"),
        allow_plaintext,
    })
}

fn parse_seconds(name: &str, text: &str) -> Result<Duration> {
    let wrong = || {
        err!(
            EINVAL,
            "{name} is `{text}`; it is a number of seconds above 0, for example 2.5"
        )
    };
    let seconds: f64 = text.trim().parse().map_err(|_| wrong())?;
    // A year is as good as for ever.
    if !seconds.is_finite() || seconds <= 0.0 || seconds > 31_536_000.0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Name of the program, for the agent's logs.
pub(crate) fn program() -> String {
    let exe = std::env::current_exe().ok();
    let name = exe
        .as_deref()
        .and_then(|path| path.file_name())
        .map_or_else(|| "?".into(), |name| name.to_string_lossy());
    let name: String = name.chars().take(64).collect();
    format!("{name} (pid {})", std::process::id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(list: &[(&str, &str)]) -> Result<Settings> {
        Settings::read(|name| {
            let found = list.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_as_documented() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.address.to_string(), "tcp://127.0.0.1:65500");
        assert_eq!(settings.options.timeout, Duration::from_secs(60));
        assert_eq!(settings.options.connect_timeout, Duration::from_secs(5));
        assert_eq!(settings.options.token, None);
        assert_eq!(settings.protocol, Protocol::Auto);
    }

    #[test]
    fn values_are_read_and_the_new_name_wins() {
        let settings = read(&[
            ("VACCEL_RPC_ADDR", "unix:///old"),
            ("VACCEL_RPC_TIMEOUT", "0.25"),
            ("VACCEL_RPC_CONNECT_TIMEOUT", "1"),
            ("VACCEL_RPC_TOKEN", "key"),
            ("VACCEL_RPC_TLS_CA", "/etc/ca.pem"),
            ("VACCEL_RPC_ALLOW_PLAINTEXT", "1"),
        ])
        .unwrap();
        assert_eq!(settings.address.to_string(), "unix:///old");
        assert_eq!(settings.options.timeout, Duration::from_millis(250));
        assert_eq!(settings.options.connect_timeout, Duration::from_secs(1));
        assert_eq!(settings.options.token.as_deref(), Some(&b"key"[..]));
        let security = &settings.options.security;
        assert_eq!(security.ca.as_deref(), Some("/etc/ca.pem".as_ref()));
        assert!(security.allow_plaintext);
        let settings = read(&[
            ("VACCEL_RPC_ADDR", "unix:///old"),
            ("VACCEL_RPC_ADDRESS", "vsock://2:2048"),
        ]);
        assert_eq!(settings.unwrap().address.to_string(), "vsock://2:2048");
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, value) in [
            ("VACCEL_RPC_ADDRESS", "localhost"),
            ("VACCEL_RPC_TIMEOUT", "soon"),
            ("VACCEL_RPC_TIMEOUT", "0"),
            ("VACCEL_RPC_TIMEOUT", "-1"),
            ("VACCEL_RPC_TIMEOUT", "inf"),
            ("VACCEL_RPC_CONNECT_TIMEOUT", "NaN"),
            ("VACCEL_RPC_CONNECT_TIMEOUT", "1e300"),
            ("VACCEL_RPC_ALLOW_PLAINTEXT", "yes"),
            ("VACCEL_RPC_MODE", "fast"),
            ("VACCEL_RPC_SHARED", "yes"),
            ("VACCEL_RPC_PROTOCOL", "http"),
            ("VACCEL_RPC_RETRY", "always"),
            ("VACCEL_RPC_RETRY_LIMIT", "-1"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert_eq!(error.code(), vaccel_plugin::code::EINVAL);
            let text = error.message();
            assert!(text.contains(name) && text.contains(value), "{text}");
        }
    }
}
