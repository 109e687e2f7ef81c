//! What a resource path names: a local path or something to download.

use crate::{Result, err, fail};

/// A resource path, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location<'a> {
    /// A path of this machine.
    Local(&'a str),
    /// A URL with scheme http, https or ftp.
    Remote(&'a str),
}

/// Tells local paths from URLs.
///
/// # Errors
/// `EINVAL` for an empty path, a scheme other than `file`, `http`, `https` and
/// `ftp`, and for a URL that is not one.
pub fn parse(path: &str) -> Result<Location<'_>> {
    let Some((scheme, rest)) = path.split_once("://") else {
        if path.is_empty() {
            fail!(EINVAL, "the path of the resource is empty");
        }
        return Ok(Location::Local(path));
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" => match rest.strip_prefix("localhost/").map_or(rest, |_| &rest[9..]) {
            "" => fail!(EINVAL, "`{path}` has no path after file://"),
            local => Ok(Location::Local(local)),
        },
        "http" | "https" | "ftp" => check(rest)
            .map(|()| Location::Remote(path))
            .map_err(|why| err!(EINVAL, "`{path}` is not a valid URL: {why}")),
        _ => fail!(
            EINVAL,
            "`{path}`: unknown scheme `{scheme}`; use file, http, https or ftp, or a plain path"
        ),
    }
}

/// Checks `host[:port][/path]`.
fn check(rest: &str) -> std::result::Result<(), &'static str> {
    if rest.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return Err("it has spaces or control characters; write them as %20");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port) = if let Some(v6) = host.strip_prefix('[') {
        let (address, after) = v6.split_once(']').ok_or("the bracket is not closed")?;
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("the address in brackets is not IPv6");
        }
        match after {
            "" => ("v6", None),
            after => (
                "v6",
                Some(after.strip_prefix(':').ok_or("text after the bracket")?),
            ),
        }
    } else {
        match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        }
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b) || b >= 0x80;
    if !host.bytes().all(ok) {
        return Err("the host has characters that no host has");
    }
    match port {
        Some(port) if port.parse::<u16>().is_err() => Err("the port is not a number below 65536"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_and_file_urls_are_local() {
        assert_eq!(parse("/a b").ok(), Some(Location::Local("/a b")));
        assert_eq!(parse("a:b").ok(), Some(Location::Local("a:b")));
        assert_eq!(parse("file:///a/b").ok(), Some(Location::Local("/a/b")));
        assert_eq!(
            parse("file://localhost/a").ok(),
            Some(Location::Local("/a"))
        );
        assert_eq!(parse("FILE://a").ok(), Some(Location::Local("a")));
    }

    #[test]
    fn good_urls_are_remote() {
        for url in [
            "http://example.com",
            "https://u:p@example.com:8443/a/b?c#d",
            "ftp://[::1]:21/x",
            "http://[::1]/",
        ] {
            assert_eq!(parse(url).ok(), Some(Location::Remote(url)));
        }
    }

    #[test]
    fn bad_paths_are_refused_with_a_reason() {
        for bad in [
            "",
            "file://",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a:99999/",
            "http://a:b/",
            "http://[::1",
            "http://[x]/",
            "http://[::1]x/",
            "gopher://a/",
            "http://a\n/",
            "http://a|b/",
        ] {
            let e = parse(bad).err().map(|e| e.code());
            assert_eq!(e, Some(vaccel_abi::error::EINVAL), "{bad}");
        }
    }
}
