//! The files of a model, wherever they are: a resource of files, of a folder or
//! of memory, or a default model's folder.

use std::borrow::Cow;
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use vaccel_plugin::{Error, Resource, Result, bail, err};
use vaccel_vision::Description;

use crate::format;

/// A description longer than this is not one.
const MAX_DESCRIPTION: u64 = 1 << 20;

/// A file on disk or bytes in memory.
#[derive(Debug, Clone)]
pub(crate) struct Item<'a> {
    /// What errors call it.
    pub(crate) name: String,
    place: Place<'a>,
}

#[derive(Debug, Clone)]
enum Place<'a> {
    File(PathBuf),
    Memory(&'a [u8]),
}

/// Tells one state of a file from another, and one buffer from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
    },
    Memory {
        size: usize,
        hash: u64,
    },
}

impl Item<'_> {
    /// A file; its path is its name.
    pub(crate) fn file(path: impl Into<PathBuf>) -> Item<'static> {
        let path = path.into();
        Item {
            name: path.display().to_string(),
            place: Place::File(path),
        }
    }

    /// Its path; `None` for memory.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Memory(_) => None,
        }
    }

    /// What it is now, without reading a file.
    ///
    /// # Errors
    /// `ENOENT` and the like for a file that is gone.
    pub(crate) fn identity(&self) -> Result<Identity> {
        match &self.place {
            Place::File(path) => {
                let meta = std::fs::metadata(path).map_err(|e| unreadable(&self.name, e))?;
                Ok(Identity::of(&meta))
            }
            Place::Memory(bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                Ok(Identity::Memory {
                    size: bytes.len(),
                    hash: hasher.finish(),
                })
            }
        }
    }

    /// All bytes; a file's size is checked against memory first.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        self.bytes_up_to(u64::MAX)
    }

    fn bytes_up_to(&self, limit: u64) -> Result<Cow<'_, [u8]>> {
        let too_long = |size: u64| err!(EINVAL, "{}: {size} bytes are too many", self.name);
        match &self.place {
            Place::Memory(bytes) if bytes.len() as u64 > limit => Err(too_long(bytes.len() as u64)),
            Place::Memory(bytes) => Ok(Cow::Borrowed(bytes)),
            Place::File(path) => {
                let failed = |e| unreadable(&self.name, e);
                let file = std::fs::File::open(path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    bail!(EINVAL, "{} is not a regular file", self.name);
                }
                let size = usize::try_from(meta.len()).map_err(|_| too_long(meta.len()))?;
                if meta.len() > limit {
                    return Err(too_long(meta.len()));
                }
                let mut bytes = Vec::new();
                bytes
                    .try_reserve_exact(size)
                    .map_err(|e| Error::from(e).context(&self.name))?;
                // A file that grows meanwhile is cut at the size that was checked.
                file.take(meta.len())
                    .read_to_end(&mut bytes)
                    .map_err(failed)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self::File {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

fn unreadable(name: &str, e: std::io::Error) -> Error {
    Error::from(e).context(format_args!("cannot read {name}"))
}

/// The model file, its description, and where their other files are.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) model: Item<'a>,
    /// `None` without a description; an error when there is one that is of no use.
    pub(crate) description: Result<Option<Description>>,
    /// The description and its label file.
    pub(crate) described_by: Vec<Item<'a>>,
    files: Files<'a>,
}

/// Files that may be named by a model or its description.
#[derive(Debug)]
struct Files<'a> {
    blobs: Vec<Item<'a>>,
    /// Where names are looked up on disk.
    folder: Option<PathBuf>,
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
        let on_disk = self.folder.as_ref().map(|folder| folder.join(relative));
        if let Some(path) = on_disk.filter(|path| path.is_file()) {
            return Some(Item::file(path));
        }
        self.blobs
            .iter()
            .find(|item| base_name(&item.name) == base)
            .cloned()
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl<'a> Source<'a> {
    /// The files of a resource.
    ///
    /// # Errors
    /// `EINVAL` when there is no file in it or none that can be the model;
    /// `ENOTSUP` for a folder with a model of another kind.
    pub(crate) fn of_resource(resource: &Resource<'a>) -> Result<Self> {
        let blobs: Vec<Item<'a>> = resource
            .blobs()
            .iter()
            .enumerate()
            .filter_map(item)
            .collect();
        if let Some(folder) = resource.folder().filter(|folder| folder.is_dir()) {
            return Self::of_folder(folder, blobs);
        }
        let Some(first) = blobs.first() else {
            bail!(EINVAL, "resource {} holds no file", resource.id());
        };
        let folder = first.path().and_then(Path::parent).map(Path::to_owned);
        let is_description = |item: &&Item| item.name.ends_with(".toml");
        let given = blobs
            .iter()
            .find(|item| base_name(&item.name) == "model.toml")
            .or_else(|| Some(first).filter(is_description))
            .cloned();
        let model = blobs
            .iter()
            .find(|item| item.name.ends_with(".onnx"))
            .or_else(|| blobs.iter().find(|item| !is_description(item)))
            .cloned();
        let beside = match (&given, model.as_ref().and_then(Item::path)) {
            (None, Some(path)) => beside(path).map(Item::file),
            _ => None,
        };
        Self::assemble(Files { blobs, folder }, given.or(beside), model)
    }

    /// The model that a description on disk describes.
    ///
    /// # Errors
    /// As [`of_resource`](Self::of_resource).
    pub(crate) fn of_description(path: &Path) -> Result<Source<'static>> {
        let files = Files {
            blobs: Vec::new(),
            folder: path.parent().map(Path::to_owned),
        };
        Source::assemble(files, Some(Item::file(path)), None)
    }

    fn of_folder(folder: &Path, blobs: Vec<Item<'a>>) -> Result<Self> {
        let description = Description::locate(folder).map(Item::file);
        let mut models = models_in(folder)?;
        if description.is_none() && models.len() != 1 {
            if let Some(other) = format::folder_error(folder) {
                return Err(other);
            }
            bail!(
                EINVAL,
                "folder {} holds {} ONNX files; put a model.toml there whose `file` names the model, \
                 or give the file itself",
                folder.display(),
                models.len()
            );
        }
        let model = models.pop().filter(|_| models.is_empty()).map(Item::file);
        let files = Files {
            blobs,
            folder: Some(folder.to_owned()),
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

    /// A file with weights, by the name the model gives it.
    ///
    /// # Errors
    /// `ENOENT` when it is not there, `ENOTSUP` for names that the engine refuses.
    pub(crate) fn external(&self, name: &str) -> Result<Item<'a>> {
        let extension = Path::new(name).extension().and_then(|e| e.to_str());
        let known = extension.is_some_and(|e| e.starts_with("data") || e.starts_with("onnx_data"));
        if !known || base_name(name) != name {
            bail!(
                ENOTSUP,
                "{} keeps weights in `{name}`; only files beside the model and named *.data or \
                 *.onnx_data are read: save it anew with onnx.save_model(..., location=\"model.data\")",
                self.model.name
            );
        }
        self.files.find(name).ok_or_else(|| {
            err!(
                ENOENT,
                "{} keeps weights in `{name}`, which is not beside it; register both files, or the folder",
                self.model.name
            )
        })
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

/// A blob, from its file where that can be reached, else from memory.
fn item<'a>((index, blob): (usize, &vaccel_plugin::Blob<'a>)) -> Option<Item<'a>> {
    let name = blob
        .name()
        .map_or_else(|| format!("buffer {index}"), str::to_owned);
    match (blob.path().filter(|path| path.is_file()), blob.memory()) {
        (Some(path), _) => Some(Item::file(path)),
        (None, Some(bytes)) => Some(Item {
            name,
            place: Place::Memory(bytes),
        }),
        // Reading it will say what is wrong with it.
        (None, None) => blob.path().map(Item::file),
    }
}

/// The ONNX files of a folder, in the order of their names.
fn models_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e| unreadable(&folder.display().to_string(), e);
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
            && path.is_file()
        {
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
