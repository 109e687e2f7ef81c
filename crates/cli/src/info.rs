//! `vaccel info`: what there is, what is missing, and how to get it.

use crate::connect;
use crate::options::{Info, Options};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::io::Write;

/// Plugins that belong to the installation.
const KNOWN: &[&str] = &[
    "onnx",
    "blas",
    "opencl",
    "opencv",
    "cuda",
    "xrt",
    "jetson",
    "exec",
    "noop",
    "mbench",
    "rpc",
    "onnxruntime",
    "tflite",
    "openvino",
    "tf",
    "torch",
    "tvm",
];

pub(crate) fn run(options: &Options, info: &Info) -> Result<()> {
    connect::start(options, "noop")?;
    let mut missing = Vec::new();
    if options.plugins.is_empty() {
        // One at a time, so that one that fails does not hide the others.
        for name in KNOWN {
            if *name == "rpc" && options.remote.is_none() || already_loaded(name)? {
                continue;
            }
            if let Err(error) = vaccel::load_plugin(name) {
                missing.push(json!({"name": name, "message": error.message}));
            }
        }
    }
    let mut about = vaccel::describe()?;
    let object = about
        .as_object_mut()
        .context("the library's description is not a JSON object")?;
    object.insert("missing".into(), Value::Array(missing));
    object.insert("program".into(), json!(env!("CARGO_PKG_VERSION")));
    let mut out = std::io::stdout().lock();
    if info.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&about)?)?;
    } else {
        show(&mut out, &about)?;
        let all = options.plugins.is_empty() && options.remote.is_none();
        if all || has_auto(&about) {
            show_choice(&mut out, "auto", list(&about["choice"]))?;
        }
        let agent = agent_of(&about);
        if has_auto(agent) {
            show_choice(&mut out, "auto, on the agent,", list(&agent["choice"]))?;
        }
    }
    Ok(())
}

fn already_loaded(name: &str) -> Result<bool> {
    Ok(vaccel::describe()?["plugins"]
        .as_array()
        .is_some_and(|plugins| plugins.iter().any(|plugin| plugin["name"] == name)))
}

fn show(out: &mut impl Write, about: &Value) -> Result<()> {
    writeln!(
        out,
        "vaccel {}, library {}",
        text(&about["program"]),
        text(&about["version"])
    )?;
    for plugin in list(&about["plugins"]) {
        writeln!(
            out,
            "\n{} {}",
            text(&plugin["name"]),
            text(&plugin["version"])
        )?;
        line(out, "file", &plugin["path"])?;
        line(out, "serves", &plugin["types"])?;
        line(out, "operations", &plugin["ops"])?;
        if let Some(ext) = plugin["ext"].as_object() {
            for (key, value) in ext {
                match key.as_str() {
                    // Said above, from the library's own knowledge.
                    "name" | "version" | "operations" => {}
                    // What it chooses is a table, below.
                    "agent" => line(out, key, &without_choice(value))?,
                    "environment" => {
                        for variable in list(value) {
                            let meaning = text(&variable["meaning"]);
                            line(out, &text(&variable["name"]), &Value::String(meaning))?;
                        }
                    }
                    _ => line(out, key, value)?,
                }
            }
        }
    }
    for plugin in list(&about["missing"]) {
        writeln!(
            out,
            "\n{} is missing\n  {}",
            text(&plugin["name"]),
            text(&plugin["message"])
        )?;
    }
    Ok(())
}

/// What the agent behind the transport says of itself.
fn agent_of(about: &Value) -> &Value {
    let plugins = list(&about["plugins"]).iter();
    let mut agents = plugins.map(|plugin| &plugin["ext"]["agent"]);
    agents
        .find(|agent| !agent.is_null())
        .unwrap_or(&Value::Null)
}

fn without_choice(agent: &Value) -> Value {
    let mut agent = agent.clone();
    if let Some(fields) = agent.as_object_mut() {
        fields.remove("choice");
    }
    agent
}

fn has_auto(about: &Value) -> bool {
    let mut plugins = list(&about["plugins"]).iter();
    plugins.any(|plugin| plugin["name"] == "auto")
}

/// What VACCEL_PLUGINS=auto chooses; what the missing ones lack is said above.
fn show_choice(out: &mut impl Write, who: &str, rows: &[Value]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nVACCEL_PLUGINS={who} chooses")?;
    for kind in ["format", "operation"] {
        writeln!(out, "  {kind:<18} {:<14} why", "backend")?;
        for row in rows.iter().filter(|row| row["kind"] == kind) {
            let others: Vec<String> = list(&row["alternatives"])
                .iter()
                .map(|other| {
                    let name = text(&other["name"]);
                    match other["ready"] == true {
                        true => name,
                        false => format!("{name} (missing)"),
                    }
                })
                .collect();
            let others = match others.is_empty() {
                true => String::new(),
                false => format!("; also {}", others.join(", ")),
            };
            let chosen = row["chosen"].as_str().unwrap_or("-");
            let (what, why) = (text(&row["for"]), text(&row["why"]));
            writeln!(out, "  {what:<18} {chosen:<14} {why}{others}")?;
        }
    }
    Ok(())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn line(out: &mut impl Write, key: &str, value: &Value) -> Result<()> {
    let value = text(value);
    if !value.is_empty() {
        writeln!(out, "  {key:<12} {value}")?;
    }
    Ok(())
}

/// A value as a person would write it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(k, v)| format!("{k}: {}", text(v)))
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    }
}
