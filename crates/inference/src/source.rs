//! The files of a model, wherever they are: a resource of files, of a folder or
//! of memory, or a default model's folder.

use std::path::{Component, Path, PathBuf};

use vaccel_plugin::{Error, Resource, Result, bail, err};
use vaccel_vision::Description;

use crate::item::{Identity, Item, unreadable};

/// A description longer than this is not one.
const MAX_DESCRIPTION: u64 = 1 << 20;

/// What the models of a backend look like on disk.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// What errors call them: `ONNX`.
    pub title: &'static str,
    /// Ends of names of model files, without the dot.
    pub extensions: &'static [&'static str],
    /// A file by which a folder is a model itself, `saved_model.pb`.
    pub folder_with: Option<&'static str>,
    /// What else a folder may hold, as an error.
    pub explain: Option<fn(&Path) -> Option<Error>>,
}

impl Kinds {
    fn is_model(&self, name: &str) -> bool {
        let end = Path::new(name).extension().and_then(|e| e.to_str());
        end.is_some_and(|end| self.extensions.iter().any(|e| e.eq_ignore_ascii_case(end)))
    }

    fn is_model_folder(&self, folder: &Path) -> bool {
        self.folder_with
            .is_some_and(|name| folder.join(name).is_file())
    }
}

/// The model file, its description, and where their other files are.
#[derive(Debug)]
pub struct Source<'a> {
    /// The model: a file, or a folder that is one.
    pub model: Item<'a>,
    /// `None` without a description; an error when there is one that is of no use.
    pub description: Result<Option<Description>>,
    /// The description and its label file.
    pub described_by: Vec<Item<'a>>,
    files: Files<'a>,
}

/// Files that may be named by a model or its description.
#[derive(Debug)]
struct Files<'a> {
    blobs: Vec<Item<'a>>,
    /// Where names are looked up on disk.
    folder: Option<PathBuf>,
    /// True when the resource is that folder, whose files the blobs are without
    /// the names of its sub-folders.
    is_folder: bool,
}

impl<'a> Files<'a> {
    /// A file by its relative name; no name leads out of the folder.
    fn find(&self, name: &str) -> Option<Item<'a>> {
        let relative = Path::new(name);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(inside) {
            return None;
        }
        let base = relative.file_name()?.to_str()?;
        let blob = || {
            self.blobs
                .iter()
                .find(|item| item.file_name() == base)
                .cloned()
        };
        let on_disk = || {
            let path = self.folder.as_ref()?.join(relative);
            path.exists().then(|| Item::file(path))
        };
        if self.is_folder {
            on_disk().or_else(blob)
        } else {
            blob().or_else(on_disk)
        }
    }
}

impl<'a> Source<'a> {
    /// The files of a resource.
    ///
    /// # Errors
    /// `EINVAL` when there is no file in it or none that can be the model;
    /// `ENOTSUP` for a folder with a model of another kind.
    pub fn of_resource(resource: &Resource<'a>, kinds: &Kinds) -> Result<Self> {
        let blobs: Vec<Item<'a>> = resource.blobs().iter().filter_map(Item::of_blob).collect();
        if let Some(folder) = resource.folder().filter(|folder| folder.is_dir()) {
            return Self::of_folder(folder, blobs, kinds);
        }
        let Some(first) = blobs.first() else {
            bail!(EINVAL, "resource {} holds no file", resource.id());
        };
        let folder = first.path().and_then(Path::parent).map(Path::to_owned);
        let is_description = |item: &&Item| item.file_name().ends_with(".toml");
        let given = blobs
            .iter()
            .find(|item| item.file_name() == "model.toml")
            .or_else(|| Some(first).filter(is_description))
            .cloned();
        let model = blobs
            .iter()
            .find(|item| kinds.is_model(item.file_name()))
            .or_else(|| blobs.iter().find(|item| !is_description(item)))
            .cloned();
        let beside = match (&given, model.as_ref().and_then(Item::path)) {
            (None, Some(path)) => beside(path).map(Item::file),
            _ => None,
        };
        let files = Files {
            blobs,
            folder,
            is_folder: false,
        };
        Self::assemble(files, given.or(beside), model)
    }

    /// The model that a description on disk describes.
    ///
    /// # Errors
    /// As [`of_resource`](Self::of_resource).
    pub fn of_description(path: &Path) -> Result<Source<'static>> {
        let files = Files {
            blobs: Vec::new(),
            folder: path.parent().map(Path::to_owned),
            is_folder: true,
        };
        Source::assemble(files, Some(Item::file(path)), None)
    }

    fn of_folder(folder: &Path, blobs: Vec<Item<'a>>, kinds: &Kinds) -> Result<Self> {
        let description = Description::locate(folder).map(Item::file);
        let mut models = if kinds.is_model_folder(folder) {
            vec![folder.to_owned()]
        } else {
            models_in(folder, kinds)?
        };
        if description.is_none() && models.len() != 1 {
            if let Some(other) = kinds.explain.and_then(|explain| explain(folder)) {
                return Err(other);
            }
            bail!(
                EINVAL,
                "folder {} holds {} {} files; put a model.toml there whose `file` names the model, \
                 or give the file itself",
                folder.display(),
                models.len(),
                kinds.title
            );
        }
        let model = models.pop().filter(|_| models.is_empty()).map(Item::file);
        let files = Files {
            blobs,
            folder: Some(folder.to_owned()),
            is_folder: true,
        };
        Self::assemble(files, description, model)
    }

    fn assemble(
        files: Files<'a>,
        description: Option<Item<'a>>,
        model: Option<Item<'a>>,
    ) -> Result<Self> {
        let mut described_by: Vec<Item<'a>> = description.into_iter().collect();
        let description = match described_by.first() {
            Some(item) => read_description(&item.clone(), &files, &mut described_by).map(Some),
            None => Ok(None),
        };
        let named = match &description {
            Ok(Some(description)) => description.model.file.as_deref(),
            _ => None,
        };
        let model = match (named.map(|name| (name, files.find(name))), model) {
            (Some((_, Some(named))), _) => named,
            (Some((name, None)), None) => bail!(
                ENOENT,
                "{}: `file` names {name}, which is not there",
                described_by[0].name
            ),
            (_, Some(model)) => model,
            (None, None) => {
                // A description that cannot be read says what is wrong with itself.
                description?;
                bail!(
                    EINVAL,
                    "{} does not say where the model is; add `file = \"model.onnx\"` under [model]",
                    described_by
                        .first()
                        .map_or("the resource", |item| &item.name)
                );
            }
        };
        Ok(Self {
            model,
            description,
            described_by,
            files,
        })
    }

    /// A file by its name beside the model; no name leads out of its folder.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Item<'a>> {
        self.files.find(name)
    }

    /// What tells this model from others: the states of its files.
    ///
    /// # Errors
    /// `ENOENT` and the like for a file that is gone.
    pub fn identities(&self) -> Result<Vec<Identity>> {
        let items = [&self.model].into_iter().chain(&self.described_by);
        items.map(Item::identity).collect()
    }
}

/// The description on disk that belongs to a model file. One that names another
/// file is that one's, not ours.
fn beside(model: &Path) -> Option<PathBuf> {
    let is_ours = |path: &PathBuf| {
        let described = Description::from_file(path).ok().and_then(|d| d.model.file);
        described.is_none_or(|file| Path::new(&file).file_name() == model.file_name())
    };
    Description::locate(model)
        .into_iter()
        .chain([model.with_extension("toml")])
        .find(|path| path.is_file() && is_ours(path))
}

/// The models of a folder, in the order of their names.
fn models_in(folder: &Path, kinds: &Kinds) -> Result<Vec<PathBuf>> {
    let failed = |e| unreadable(&folder.display().to_string(), e);
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| kinds.is_model(name)) && path.is_file() {
            models.push(path);
        }
    }
    models.sort();
    Ok(models)
}

fn read_description<'a>(
    item: &Item<'a>,
    files: &Files<'a>,
    used: &mut Vec<Item<'a>>,
) -> Result<Description> {
    let bytes = item.bytes_up_to(MAX_DESCRIPTION)?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| err!(EINVAL, "{} is not UTF-8 text", item.name))?;
    let failed = |e: vaccel_vision::Error| err!(EINVAL, "{e}");
    let mut description = Description::parse(text, &item.name).map_err(failed)?;
    if let Some(name) = description.label_file().map(str::to_owned) {
        let labels = files.find(&name).ok_or_else(|| {
            err!(
                ENOENT,
                "{}: `labels` names {name}, which is not there",
                item.name
            )
        })?;
        description
            .set_labels(&labels.bytes_up_to(MAX_DESCRIPTION)?)
            .map_err(failed)?;
        used.push(labels);
    }
    Ok(description)
}
