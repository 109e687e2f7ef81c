//! The figures of an agent, as somebody who asks for them reads them.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::common::Agent;
use prometheus_parse::{Scrape, Value};

/// The agent's default socket for figures.
pub fn socket(agent: &Agent) -> PathBuf {
    let found = std::fs::read_dir(agent.dir().join("run"))
        .unwrap()
        .flatten();
    let mut sockets = found.map(|entry| entry.path().join("metrics.sock"));
    sockets.find(|path| path.exists()).unwrap()
}

pub fn get(path: &Path, target: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(path).unwrap();
    answer(&mut stream, target)
}

pub fn answer(stream: &mut (impl Read + Write), target: &str) -> (u16, String) {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub fn page(agent: &Agent) -> String {
    let (status, page) = get(&socket(agent), "/metrics");
    assert_eq!(status, 200, "{page}");
    page
}

pub fn parse(page: &str) -> Scrape {
    Scrape::parse(page.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The sum of all samples of a name whose labels are among those.
pub fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let scrape = parse(page);
    let fits = |sample: &&prometheus_parse::Sample| {
        sample.metric == name && labels.iter().all(|(k, v)| sample.labels.get(k) == Some(v))
    };
    let value = |sample: &prometheus_parse::Sample| match &sample.value {
        Value::Counter(v) | Value::Gauge(v) | Value::Untyped(v) => *v,
        Value::Histogram(places) => places.last().unwrap().count,
        Value::Summary(_) => panic!("a summary"),
    };
    scrape.samples.iter().filter(fits).map(value).sum()
}
