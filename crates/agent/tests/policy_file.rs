//! The file of a policy: what is valid, and what is said where it is not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::process::Command;

use common::Agent;

#[test]
fn check_says_what_a_policy_means_or_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(common::AGENT);
        command
            .args(["--plugins", "noop,exec", "--check"])
            .arg(&file);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let (code, out, _) =
        check("[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\nquota = { memory = \"1G\" }\n");
    assert_eq!(code, Some(0));
    for line in [
        "unknown = \"refuse\"",
        "name = \"a\"",
        "match = [{ uid = 7 }]",
        "memory = 1073741824",
        "client_code = false",
    ] {
        assert!(out.lines().any(|l| l == line), "{line}\n{out}");
    }
    // What it prints means the same.
    let again = check(&out);
    assert_eq!((again.0, again.1), (Some(0), out));
    for (text, expected) in [
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\nquota = { memry = 1 }",
            "line 4",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\nquota = { memry = 1 }",
            "unknown field `memry`, expected one of",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\n[tenant.allow]\nops = [\"nope\"]",
            "line 5: ops: there is no operation `nope`; there are noop,",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\n[tenant.allow]\nplugins = [\"x\"]",
            "line 5: plugins: the agent does not load `x`, only: noop, exec",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{}]",
            "line 3: match: it names nothing",
        ),
        (
            "[[tenant]]\nname = \"a\"\n",
            "line 2: match: nobody is this tenant",
        ),
        (
            "unknown = \"b\"\n[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]",
            "line 1: unknown: there is no tenant `b`",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\n[[tenant]]\nname = \"a\"",
            "line 5: name: there is another tenant `a`",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ token_file = \"none\" }]",
            "line 3: token_file: cannot read",
        ),
        (
            "[[tenant]]\nname = \"a\"\nmatch = [{ uid = 7 }]\nquota = { deadline = \"soon\" }",
            "`soon` is not a time",
        ),
        ("", "there is no tenant"),
    ] {
        let (code, _, error) = check(text);
        assert_eq!(code, Some(1), "{text}");
        assert!(error.contains(expected), "{text}\n{error}");
    }
    let mut command = Command::new(common::AGENT);
    let output = command
        .args(["--check", "/nowhere/agent.toml"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("/nowhere/agent.toml"),
        "{error}"
    );
}

#[test]
fn an_agent_does_not_start_with_a_policy_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("agent.toml");
    std::fs::write(&file, "nonsense").unwrap();
    let mut command = Agent::command(&folder, "noop", &["--policy", file.to_str().unwrap()]);
    assert!(!command.status().unwrap().success());
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(
        log.contains("agent.toml is not valid") && log.contains("line 1"),
        "{log}"
    );
}
