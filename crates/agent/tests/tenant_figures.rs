//! What the metrics page says of each tenant.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/figures.rs"]
mod figures;
#[path = "common/governed.rs"]
mod governed;

use common::{EXEC, wait_until};
use figures::{page, sum};
use governed::Governed;
use vaccel_wire::control;

#[test]
fn refusals_crashes_and_restarts_are_counted_for_their_tenant_and_no_other() {
    let governed = Governed::start(
        r#"
        [defaults]
        worker = "tenant"
        allow = { exec = [{ path = "/**" }] }
        [[tenant]]
        name = "a"
        match = [{ listener = "a" }]
        quota = { sessions = 1 }
        [[tenant]]
        name = "b"
        match = [{ listener = "b" }]
        "#,
    );
    let of = |name: &str, labels: &[(&str, &str)]| sum(&page(&governed.agent), name, labels);
    let refused = |tenant, quota| {
        let labels = [("tenant", tenant), ("quota", quota)];
        of("vaccel_tenant_refusals_total", &labels)
    };
    let crashes = |tenant| of("vaccel_tenant_worker_crashes_total", &[("tenant", tenant)]);
    let restarts = |tenant| of("vaccel_tenant_worker_restarts_total", &[("tenant", tenant)]);
    let all = |tenant| of("vaccel_tenant_refusals_total", &[("tenant", tenant)]);
    assert_eq!((all("a"), crashes("a"), restarts("a")), (0.0, 0.0, 0.0));
    for round in 1..=2_u8 {
        let client = governed.connect("a");
        // Counted after the worker has been given the connection.
        wait_until("the restart is counted", || {
            restarts("a") == f64::from(round - 1)
        });
        let session = client.open_session(EXEC);
        let (_, text) = client.fails(control::SESSION_OPEN, 0, |b| {
            b.read_scalar(0_u32)
                .write_capacity(vaccel_abi::arg::ARG_INT64, 0, 8);
        });
        assert!(text.contains("quota `sessions` of tenant `a`"), "{text}");
        assert_eq!(refused("a", "sessions"), f64::from(round));
        client.exec(session, "crash", &[], None, None).unwrap_err();
        wait_until("the crash is counted", || crashes("a") == f64::from(round));
    }
    let other = governed.connect("b");
    other.noop(other.open_session(0)).unwrap();
    // `vaccel top` is told the same.
    let told = || -> Vec<serde_json::Value> {
        let (code, text) = figures::get(&figures::socket(&governed.agent), "/status");
        assert_eq!(code, 200);
        let status: serde_json::Value = serde_json::from_str(&text).unwrap();
        status["tenants"].as_array().unwrap().clone()
    };
    wait_until("the call of the second is counted", || {
        let told = told();
        told.len() == 2 && told[1]["compute"]["sum_ns"].as_u64() > Some(0)
    });
    let told = told();
    assert_eq!(
        (&told[0]["name"], &told[1]["name"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(told[0]["refusals"], serde_json::json!({ "sessions": 2 }));
    assert_eq!(told[1]["refusals"], serde_json::json!({}));
    assert_eq!(told[0]["worker_crashes"], 2);
    assert_eq!(
        (&told[1]["worker_crashes"], &told[1]["worker_restarts"]),
        (&0.into(), &0.into())
    );
    assert_eq!(told[1]["connections"], 1);
    assert_eq!(all("a"), 2.0);
    assert_eq!((all("b"), crashes("b"), restarts("b")), (0.0, 0.0, 0.0));
    // Nothing is forgotten when the policy is read again, or names the tenant no more.
    governed.write("[[tenant]]\nname = \"b\"\nmatch = [{ listener = \"b\" }]\n");
    governed.agent.signal(libc::SIGHUP);
    wait_until("the tenant is gone", || governed.try_connect("a").is_err());
    assert_eq!(refused("a", "sessions"), 2.0);
    assert!(crashes("a") >= 2.0);
    governed.agent.stop();
}
