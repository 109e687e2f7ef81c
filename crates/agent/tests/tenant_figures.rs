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
        assert_eq!(restarts("a"), f64::from(round - 1));
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
