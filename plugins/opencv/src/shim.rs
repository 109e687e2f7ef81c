//! The shim in memory: OpenCV through a handful of C functions.

use crate::build;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::path::Path;
use vaccel_plugin::host::own_file;
use vaccel_plugin::{Error, Result, bail, cause, code, err};

/// `shim_picture`: see shim/opencv.cpp.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawPicture {
    pub(crate) data: *const u8,
    pub(crate) rows: i32,
    pub(crate) columns: i32,
    pub(crate) channels: i32,
    pub(crate) depth: i32,
}

#[repr(C)]
struct RawInput {
    pictures: *const RawPicture,
    nr_pictures: usize,
    numbers: *const f64,
    nr_numbers: usize,
    texts: *const *const c_char,
    nr_texts: usize,
}

#[repr(C)]
struct RawResult {
    _opaque: [u8; 0],
}

/// Name of a shim that a distribution brings.
static INSTALLED: &str = "libvaccel-opencv-shim.so";

type Call = unsafe extern "C" fn(
    *const c_char,
    *const RawInput,
    *mut *mut RawResult,
    *mut c_char,
    usize,
) -> c_int;

/// The shim; never unloaded: OpenCV has threads.
pub(crate) struct Shim {
    call: Call,
    view: unsafe extern "C" fn(*const RawResult, *mut RawPicture),
    free: unsafe extern "C" fn(*mut RawResult),
    version: String,
    _library: ManuallyDrop<Library>,
}

/// What a function is called with. Pictures hold addresses: they live as long as this.
#[derive(Debug, Default)]
pub(crate) struct Input<'a> {
    pictures: Vec<RawPicture>,
    pub(crate) numbers: Vec<f64>,
    pub(crate) texts: Vec<CString>,
    life: std::marker::PhantomData<&'a [u8]>,
}

/// Pixels or numbers that a function made.
pub(crate) struct Output<'a> {
    shim: &'a Shim,
    result: *mut RawResult,
    view: RawPicture,
}

impl<'a> Input<'a> {
    /// Adds an encoded picture.
    pub(crate) fn encoded(&mut self, bytes: &'a [u8]) -> Result<()> {
        let columns = i32::try_from(bytes.len())
            .map_err(|_| err!(ERANGE, "a file of {} bytes is too large", bytes.len()))?;
        self.pictures.push(RawPicture {
            data: bytes.as_ptr(),
            rows: 0,
            columns,
            channels: 1,
            depth: 1,
        });
        Ok(())
    }

    /// Adds pixels: `shape` is rows, columns, channels (1 to 4), and, where it is not 1,
    /// bytes of a channel (4: f32).
    pub(crate) fn pixels(&mut self, shape: &[i32], bytes: &'a [u8]) -> Result<()> {
        let (rows, columns, channels, depth) = match *shape {
            [rows, columns] => (rows, columns, 1, 1),
            [rows, columns, channels] => (rows, columns, channels, 1),
            [rows, columns, channels, depth] => (rows, columns, channels, depth),
            _ => bail!(
                EINVAL,
                "a shape is rows, columns, channels and bytes of a channel, not {shape:?}"
            ),
        };
        let right =
            rows > 0 && columns > 0 && (1..=4).contains(&channels) && (depth == 1 || depth == 4);
        let size = [rows, columns, channels, depth]
            .iter()
            .try_fold(1_usize, |size, &n| {
                size.checked_mul(usize::try_from(n).ok()?)
            });
        if !right || size != Some(bytes.len()) {
            bail!(
                EINVAL,
                "pixels of shape {shape:?} do not have {} bytes",
                bytes.len()
            );
        }
        if depth == 4 && !bytes.as_ptr().cast::<f32>().is_aligned() {
            bail!(EINVAL, "pixels of f32 are not aligned");
        }
        self.pictures.push(RawPicture {
            data: bytes.as_ptr(),
            rows,
            columns,
            channels,
            depth,
        });
        Ok(())
    }
}

impl Shim {
    /// Opens the shim: the one that `VACCEL_OPENCV_SHIM` names, else one that is
    /// installed with this plugin or beside other libraries, else one that is built now.
    ///
    /// # Errors
    /// `ENOENT` with what to install.
    pub(crate) fn open() -> Result<Self> {
        let named = std::env::var("VACCEL_OPENCV_SHIM").unwrap_or_default();
        if !named.is_empty() {
            return Self::of(&named);
        }
        match Self::installed() {
            Ok(shim) => Ok(shim),
            Err(_) => {
                let built = build::cached()?;
                let Some(path) = built.to_str() else {
                    bail!(EINVAL, "{} is not UTF-8", built.display());
                };
                Self::of(path)
            }
        }
    }

    /// True when [`open`](Self::open) would not have to build it first.
    pub(crate) fn is_built() -> bool {
        std::env::var_os("VACCEL_OPENCV_SHIM").is_some_and(|name| !name.is_empty())
            || Self::installed().is_ok()
            || build::place().is_ok_and(|(path, _)| path.exists())
    }

    /// The one in the folder `vaccel` beside this plugin, or where libraries are.
    fn installed() -> Result<Self> {
        let own = own_file().and_then(|file| file.canonicalize().ok());
        let own = own.map(|file| file.with_file_name("vaccel").join(INSTALLED));
        match own.as_deref().and_then(Path::to_str) {
            Some(own) if Path::new(own).exists() => Self::of(own),
            _ => Self::of(INSTALLED),
        }
    }

    fn of(file: &str) -> Result<Self> {
        let failed = |error: libloading::Error| {
            err!(
                ENOENT,
                "cannot open the shim `{file}` ({}); {}",
                cause(&error),
                build::REMEDY
            )
        };
        // SAFETY: constructors of OpenCV do nothing of note; a path is the choice of who
        // runs this process, or the user's own cache.
        let library =
            unsafe { Library::open(Some(file), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
        // SAFETY: the types are those of shim/opencv.cpp, whose version is asked for first.
        unsafe {
            let version = library
                .get::<unsafe extern "C" fn() -> c_int>(b"shim_version\0")
                .map_err(failed)?;
            if version() != 1 {
                bail!(ENOENT, "`{file}` is of another version; build it again");
            }
            let opencv = library
                .get::<unsafe extern "C" fn() -> *const c_char>(b"shim_opencv\0")
                .map_err(failed)?;
            Ok(Self {
                call: *library.get(b"shim_call\0").map_err(failed)?,
                view: *library.get(b"shim_view\0").map_err(failed)?,
                free: *library.get(b"shim_free\0").map_err(failed)?,
                version: CStr::from_ptr(opencv()).to_string_lossy().into_owned(),
                _library: ManuallyDrop::new(library),
            })
        }
    }

    /// Version of OpenCV.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Calls a function. `EINVAL` and `ENOMEM` have OpenCV's own words.
    pub(crate) fn call(&self, function: &CStr, input: &Input<'_>) -> Result<Output<'_>> {
        let texts: Vec<*const c_char> = input.texts.iter().map(|t| t.as_ptr()).collect();
        let raw = RawInput {
            pictures: input.pictures.as_ptr(),
            nr_pictures: input.pictures.len(),
            numbers: input.numbers.as_ptr(),
            nr_numbers: input.numbers.len(),
            texts: texts.as_ptr(),
            nr_texts: texts.len(),
        };
        let mut result = std::ptr::null_mut();
        let mut said = [0_u8; 512];
        // SAFETY: lists of the lengths they say, whose addresses live in `input`; a place
        // for the result and for a text.
        let status = unsafe {
            (self.call)(
                function.as_ptr(),
                &raw const raw,
                &raw mut result,
                said.as_mut_ptr().cast(),
                said.len(),
            )
        };
        if status != 0 {
            let end = said.iter().position(|b| *b == 0).unwrap_or(said.len());
            let text = String::from_utf8_lossy(&said[..end]).into_owned();
            let number = match status {
                1 => code::EINVAL,
                2 => code::ENOMEM,
                _ => code::EIO,
            };
            return Err(Error::new(number, text).context(function.to_string_lossy()));
        }
        let mut view = RawPicture {
            data: std::ptr::null(),
            rows: 0,
            columns: 0,
            channels: 0,
            depth: 0,
        };
        // SAFETY: a result that is freed by the drop of what is returned.
        unsafe { (self.view)(result, &raw mut view) };
        let output = Output {
            shim: self,
            result,
            view,
        };
        if output.view.depth == 0 {
            bail!(
                EIO,
                "{function:?} gives numbers that are neither bytes nor f32"
            );
        }
        Ok(output)
    }
}

impl Output<'_> {
    /// Rows, columns, channels, bytes of a channel.
    pub(crate) fn shape(&self) -> [i32; 4] {
        let v = &self.view;
        [v.rows, v.columns, v.channels, v.depth]
    }

    /// The elements, row by row without gaps.
    pub(crate) fn bytes(&self) -> &[u8] {
        let size = self.shape().iter().map(|&n| n.max(0) as usize).product();
        if size == 0 {
            return &[];
        }
        // SAFETY: the shim's copy is without gaps and lives until it is freed.
        unsafe { std::slice::from_raw_parts(self.view.data, size) }
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        // SAFETY: made by this shim and freed once.
        unsafe { (self.shim.free)(self.result) };
    }
}
