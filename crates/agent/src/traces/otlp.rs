//! Spans as OpenTelemetry has them.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Otlp, Status};

use super::exporter::Told;
use crate::counts;

/// The parts of a request, in order.
const PARTS: [&str; 4] = ["transfer-in", "queue", "compute", "transfer-out"];

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn number(key: &str, value: impl TryInto<i64>) -> KeyValue {
    let value = value.try_into().unwrap_or(i64::MAX);
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// What is sent for some requests.
pub(super) fn message(told: &[Told]) -> ExportTraceServiceRequest {
    let resource = Resource {
        attributes: vec![
            text("service.name", "vaccel-agent"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            number("process.pid", std::process::id()),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: "vaccel".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: told.iter().flat_map(spans).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// The span of a request, and one for each of its parts.
fn spans(told: &Told) -> Vec<Otlp> {
    let span = &told.span;
    let mut spans = Vec::with_capacity(1 + PARTS.len());
    // What a worker says may be anything; no span begins before 1970.
    let whole = span
        .parts
        .iter()
        .fold(0_u64, |sum, p| sum.saturating_add(*p));
    let start = span.end.saturating_sub(whole);
    let own = new_id();
    let one = |id: Vec<u8>, parent: Vec<u8>, name: &str, kind: SpanKind| Otlp {
        trace_id: span.parent.trace.to_vec(),
        span_id: id,
        parent_span_id: parent,
        flags: span.parent.flags.into(),
        name: name.to_owned(),
        kind: kind.into(),
        ..Otlp::default()
    };
    let name = counts::name_of(span.operation);
    let parent = span.parent.span.to_vec();
    let mut attributes = vec![
        text("rpc.system", "vaccel"),
        text("rpc.method", name),
        number("vaccel.connection", told.connection),
        number("vaccel.session", span.session),
        number("vaccel.request", span.request),
        number("vaccel.received_bytes", span.received),
        number("vaccel.sent_bytes", span.sent),
    ];
    if !span.plugin.is_empty() {
        attributes.push(text("vaccel.plugin", &span.plugin[..]));
    }
    if let Some(tenant) = &told.tenant {
        attributes.push(text("vaccel.tenant", &tenant[..]));
    }
    let mut status = None;
    if span.error != 0 {
        attributes.push(number("vaccel.error", span.error));
        status = Some(Status {
            code: StatusCode::Error.into(),
            message: format!("error code {}", span.error),
        });
    }
    spans.push(Otlp {
        start_time_unix_nano: start,
        end_time_unix_nano: span.end,
        attributes,
        status,
        ..one(own.clone(), parent, name, SpanKind::Server)
    });
    let mut at = start;
    for (part, nanos) in PARTS.into_iter().zip(span.parts) {
        let end = at.saturating_add(nanos).min(span.end);
        spans.push(Otlp {
            start_time_unix_nano: at,
            end_time_unix_nano: end,
            ..one(new_id(), own.clone(), part, SpanKind::Internal)
        });
        at = end;
    }
    spans
}

/// A number for a span, never 0.
fn new_id() -> Vec<u8> {
    crate::random().unwrap_or(1).max(1).to_be_bytes().to_vec()
}
