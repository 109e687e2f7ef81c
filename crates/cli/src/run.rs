//! `vaccel run`: any model on tensors from files.

use crate::connect;
use crate::image::open_model;
use crate::options::{Options, Run};
use crate::progress::of_transfers;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;
use vaccel::{Model, ModelInfo, Tensor, TensorInfo};

pub(crate) fn run(options: &Options, run: &Run) -> Result<()> {
    let inputs = run
        .input
        .iter()
        .map(|text| read_input(text))
        .collect::<Result<Vec<_>>>()?;
    if let Some(folder) = &run.output {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let session = connect::session(options)?;
    let resource = open_model(&run.model)?;
    let options = run.options.as_deref().unwrap_or_default();
    let model = of_transfers(run.json, || Model::load(&session, &resource, options))
        .with_context(|| format!("the model {} cannot be loaded", run.model.display()))?;
    let info = model.info()?;
    if run.info {
        return describe(&info, run.json);
    }
    if inputs.is_empty() && !info.inputs.is_empty() {
        bail!(
            "the model needs inputs; give each as --input NAME=FILE.npy:\n{}",
            info.inputs
                .iter()
                .map(|i| format!("  {}", signature(i)))
                .collect::<Vec<_>>()
                .join("\n")
        );
    }

    let inputs: Vec<(&str, &Tensor)> = inputs.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let mut ms = Vec::new();
    let mut outputs = Vec::new();
    for _ in 0..run.repeat {
        let begin = Instant::now();
        outputs = model.run(&inputs)?;
        ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    report(run, &info, &outputs, &ms)
}

fn report(run: &Run, info: &ModelInfo, outputs: &[Tensor], ms: &[f64]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut listed = Vec::new();
    for (i, tensor) in outputs.iter().enumerate() {
        let name = info.outputs.get(i).map_or("", |o| o.name.as_str());
        let path = match &run.output {
            Some(folder) => Some(write_output(folder, name, i, tensor)?),
            None => None,
        };
        if run.json {
            listed.push(json!({"name": name, "dtype": tensor.dtype().name(), "shape": tensor.shape(), "file": path}));
        } else {
            write!(
                out,
                "{name}: {} {:?}",
                tensor.dtype().name(),
                tensor.shape()
            )?;
            match path {
                Some(path) => writeln!(out, " -> {}", path.display())?,
                None => writeln!(out, " {}", preview(tensor))?,
            }
        }
    }
    if run.json {
        writeln!(
            out,
            "{}",
            json!({"model": run.model, "outputs": listed, "ms": ms})
        )?;
    } else if ms.len() > 1 {
        let mut sorted = ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{} runs: median {:.3} ms",
            sorted.len(),
            sorted[sorted.len() / 2]
        )?;
    }
    Ok(())
}

fn describe(info: &ModelInfo, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        let list = |tensors: &[TensorInfo]| -> Vec<_> {
            tensors
                .iter()
                .map(|t| json!({"name": t.name, "dtype": t.dtype.map(vaccel::Dtype::name), "shape": t.shape}))
                .collect()
        };
        writeln!(
            out,
            "{}",
            json!({"format": info.format, "backend": info.backend, "metadata": info.metadata,
                   "inputs": list(&info.inputs), "outputs": list(&info.outputs)})
        )?;
        return Ok(());
    }
    writeln!(out, "{} model, run by {}", info.format, info.backend)?;
    for (title, tensors) in [("inputs", &info.inputs), ("outputs", &info.outputs)] {
        writeln!(out, "{title}")?;
        for tensor in tensors {
            writeln!(out, "  {}", signature(tensor))?;
        }
    }
    Ok(())
}

/// For example `input: f32 [?, 3, 224, 224]`.
fn signature(tensor: &TensorInfo) -> String {
    let shape: Vec<String> = tensor
        .shape
        .iter()
        .map(|&d| if d < 0 { "?".into() } else { d.to_string() })
        .collect();
    let dtype = tensor.dtype.map_or("?", vaccel::Dtype::name);
    format!("{}: {dtype} [{}]", tensor.name, shape.join(", "))
}

/// `NAME=FILE` or `FILE`. A file whose own name contains `=` needs the name.
fn read_input(text: &str) -> Result<(String, Tensor)> {
    let (name, path) = text.split_once('=').unwrap_or(("", text));
    let file = File::open(path).with_context(|| format!("cannot read the input {path}"))?;
    let tensor = Tensor::read_npy(BufReader::new(file)).with_context(|| format!("in {path}"))?;
    Ok((name.to_string(), tensor))
}

/// The name of an output may hold anything; only the harmless part becomes a file's.
fn write_output(folder: &Path, name: &str, index: usize, tensor: &Tensor) -> Result<PathBuf> {
    let mut stem: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if stem.trim_matches('.').is_empty() {
        stem = format!("output{index}");
    }
    let path = folder.join(format!("{stem}.npy"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    tensor.write_npy(BufWriter::new(file))?;
    Ok(path)
}

/// The first elements of a tensor.
fn preview(tensor: &Tensor) -> String {
    const COUNT: usize = 8;
    let Ok(values) = tensor.as_slice::<f32>() else {
        return String::new();
    };
    let more = if values.len() > COUNT { " ..." } else { "" };
    let shown: Vec<String> = values
        .iter()
        .take(COUNT)
        .map(|v| format!("{v:.4}"))
        .collect();
    format!("{}{more}", shown.join(" "))
}
