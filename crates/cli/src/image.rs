//! `vaccel classify`, `detect`, `segment`, `pose` and `depth`.
//!
//! They go through the neutral model API and the virtual tensors of
//! docs/model-description.md: the encoded picture goes in; the structured result,
//! the annotated picture and the map come out, from wherever the model runs.

use crate::connect;
use crate::options::{Image, Options};
use crate::progress::{Progress, of_transfers};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vaccel::{Model, Resource, ResourceType, Session, Tensor};

/// Largest picture file that is read, bytes.
const LARGEST: u64 = 256 << 20;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    task: &'a str,
    remote: Option<&'a str>,
    files: Vec<Answer>,
}

/// One picture of it.
#[derive(Serialize)]
struct Answer {
    file: PathBuf,
    result: Value,
    /// Milliseconds of each run, from the encoded picture to the structured result.
    ms: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<PathBuf>,
    #[serde(skip)]
    text: String,
}

pub(crate) fn run(options: &Options, image: &Image, task: &str) -> Result<()> {
    for file in &image.images {
        let size = std::fs::metadata(file)
            .with_context(|| format!("cannot read the picture {}", file.display()))?
            .len();
        if size > LARGEST {
            bail!(
                "{} has {size} bytes; at most {LARGEST} are read",
                file.display()
            );
        }
    }
    if let Some(folder) = &image.output {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let session = connect::session(options)?;
    let model = load(&session, image, task)?;

    let mut progress = Progress::new(task, image.images.len(), image.json);
    let mut files = Vec::new();
    for file in &image.images {
        progress.step(file);
        let answer = answer(&model, image, file)
            .with_context(|| format!("cannot {task} {}", file.display()))?;
        if answer.result["task"] != task {
            bail!(
                "the model answers `{}`, not `{task}`; use `vaccel {}`",
                answer.result["task"].as_str().unwrap_or("?"),
                answer.result["task"].as_str().unwrap_or("run"),
            );
        }
        if !image.json {
            progress.clear();
            show(&answer, image.images.len() > 1)?;
        }
        files.push(answer);
    }
    progress.clear();
    if image.json {
        let report = Report {
            task,
            remote: options.remote.as_deref(),
            files,
        };
        writeln!(
            std::io::stdout().lock(),
            "{}",
            serde_json::to_string(&report)?
        )?;
    }
    Ok(())
}

fn load(session: &Session, image: &Image, task: &str) -> Result<Model> {
    let resource = match &image.model {
        Some(path) => open_model(path)?,
        // A description without a file stands for the backend's own model of the task.
        None => Resource::from_bytes(
            format!("[model]\nname = \"default\"\ntask = \"{task}\"\n").into_bytes(),
            ResourceType::Model,
            "model.toml",
        )?,
    };
    let options = image.options.as_deref().unwrap_or_default();
    of_transfers(image.json, || Model::load(session, &resource, options)).with_context(|| {
        image.model.as_ref().map_or_else(
            || format!("the default model for `{task}` cannot be loaded"),
            |path| format!("the model {} cannot be loaded", path.display()),
        )
    })
}

/// A model with its description: a folder, a `model.toml`, a file with one beside it, or a URL.
pub(crate) fn open_model(path: &Path) -> Result<Resource> {
    if path.to_str().is_some_and(|text| text.contains("://")) {
        return Ok(Resource::open(path, ResourceType::Model)?);
    }
    if !path.exists() {
        bail!("there is no model at {}", path.display());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let is_description = path.extension().is_some_and(|e| e == "toml");
    if is_description {
        // Model and labels lie beside it.
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        return Ok(Resource::open(folder, ResourceType::Model)?);
    }
    if path.is_dir() {
        return Ok(Resource::open(path, ResourceType::Model)?);
    }
    let mut files = vec![path.to_path_buf()];
    for description in [folder.join("model.toml"), path.with_extension("toml")] {
        if description.is_file() {
            files.push(description);
            let labels = folder.join("labels.txt");
            if labels.is_file() {
                files.push(labels);
            }
            break;
        }
    }
    Ok(Resource::open_all(&files, ResourceType::Model)?)
}

fn answer(model: &Model, image: &Image, file: &Path) -> Result<Answer> {
    let bytes = std::fs::read(file)?;
    let input = Tensor::from_slice(&[bytes.len()], &bytes)?;
    let mut wanted = vec!["vaccel.result"];
    let mut ms = Vec::new();
    let mut outputs = Vec::new();
    for _ in 0..image.repeat {
        let begin = Instant::now();
        outputs = model.run_named(&[("vaccel.image", &input)], &wanted)?;
        ms.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let result: Value = serde_json::from_slice(outputs.first().context("no result")?.bytes())
        .context("the structured result is not JSON")?;

    // Picture and map are asked for once, outside of what is timed.
    wanted = vec!["vaccel.text"];
    if image.output.is_some() {
        wanted.push("vaccel.picture");
    }
    if image.map {
        wanted.push("vaccel.map");
    }
    let mut outputs = model
        .run_named(&[("vaccel.image", &input)], &wanted)?
        .into_iter();
    let text = outputs.next().context("no text")?;
    let text = String::from_utf8_lossy(text.bytes()).into_owned();
    let mut save = |folder: &Path, ending: &str| -> Result<PathBuf> {
        let tensor = outputs.next().context("an output is missing")?;
        let stem = file.file_stem().unwrap_or(file.as_os_str());
        let path = folder.join(stem).with_extension(ending);
        if ending == "npy" {
            let file = std::fs::File::create(&path)
                .with_context(|| format!("cannot write {}", path.display()))?;
            tensor.write_npy(std::io::BufWriter::new(file))?;
        } else {
            std::fs::write(&path, tensor.bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(path)
    };
    let (mut picture, mut map) = (None, None);
    if let Some(folder) = &image.output {
        picture = Some(save(folder, "png")?);
        if image.map {
            map = Some(save(folder, "npy")?);
        }
    }
    Ok(Answer {
        file: file.to_path_buf(),
        result,
        ms,
        picture,
        map,
        text,
    })
}

fn show(answer: &Answer, several: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if several {
        writeln!(out, "{}", answer.file.display())?;
    }
    let indent = if several { "  " } else { "" };
    for line in answer.text.lines() {
        writeln!(out, "{indent}{line}")?;
    }
    if let Some(picture) = &answer.picture {
        writeln!(out, "{indent}picture: {}", picture.display())?;
    }
    if let Some(map) = &answer.map {
        writeln!(out, "{indent}map: {}", map.display())?;
    }
    if answer.ms.len() > 1 {
        let mut sorted = answer.ms.clone();
        sorted.sort_by(f64::total_cmp);
        writeln!(
            out,
            "{indent}{} runs: median {:.3} ms, fastest {:.3}, slowest {:.3}",
            sorted.len(),
            sorted[sorted.len() / 2],
            sorted[0],
            sorted[sorted.len() - 1]
        )?;
    }
    Ok(())
}
