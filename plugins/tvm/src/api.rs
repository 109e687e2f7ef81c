//! The functions of TVM's C interface (`tvm/ffi/c_api.h` of tvm-ffi 0.1), and values that
//! are released when they are dropped.

use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr::null_mut;

use vaccel_inference::runtime::{Opened, symbol};
use vaccel_plugin::{Error, Result, bail, code, err};

/// Numbers of types: `TVMFFITypeIndex`.
pub(crate) const NONE: i32 = 0;
const INT: i32 = 1;
const BOOL: i32 = 2;
const RAW_STRING: i32 = 8;
const SMALL_STRING: i32 = 11;
const OBJECTS: i32 = 64;
const STRING: i32 = 65;
const FUNCTION: i32 = 68;
pub(crate) const TENSOR: i32 = 70;
pub(crate) const ARRAY: i32 = 71;
const MODULE: i32 = 73;

/// Bytes of the head of an object, `TVMFFIObject`.
const OBJECT_HEAD: usize = 24;

/// `TVMFFIAny`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Any {
    pub(crate) kind: i32,
    /// Zero, or the length of a short text.
    extra: u32,
    value: u64,
}

/// `TVMFFIByteArray`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    data: *const u8,
    size: usize,
}

/// `DLTensor` of DLPack.
#[repr(C)]
pub(crate) struct DlTensor {
    pub(crate) data: *mut c_void,
    pub(crate) device: [i32; 2],
    pub(crate) rank: i32,
    pub(crate) code: u8,
    pub(crate) bits: u8,
    pub(crate) lanes: u16,
    pub(crate) shape: *mut i64,
    pub(crate) strides: *mut i64,
    pub(crate) offset: u64,
}

/// `DLManagedTensor` of DLPack.
#[repr(C)]
pub(crate) struct Managed {
    pub(crate) tensor: DlTensor,
    pub(crate) context: *mut c_void,
    pub(crate) deleter: Option<unsafe extern "C" fn(*mut Managed)>,
}

vaccel_inference::functions! {
    /// TVM's functions.
    struct Functions {
        TVMFFIGetVersion: fn(*mut [u32; 3]);
        TVMFFIObjectIncRef: fn(*mut c_void) -> c_int;
        TVMFFIObjectDecRef: fn(*mut c_void) -> c_int;
        TVMFFIFunctionGetGlobal: fn(*const Bytes, *mut *mut c_void) -> c_int;
        TVMFFIFunctionCall: fn(*mut c_void, *const Any, i32, *mut Any) -> c_int;
        TVMFFIErrorMoveFromRaised: fn(*mut *mut c_void);
        TVMFFITensorFromDLPack: fn(*mut Managed, i32, i32, *mut *mut c_void) -> c_int;
        TVMFFITensorToDLPack: fn(*mut c_void, *mut *mut Managed) -> c_int;
    }
    optional {}
}

/// The runtime: its functions, and those that it registers by name.
pub(crate) struct Api {
    f: Functions,
    load: Registered,
    function: Registered,
    size: Registered,
    item: Registered,
}

/// A function of the registry, kept for good.
struct Registered(*mut c_void);

// SAFETY: functions of the registry may be called from any thread.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

/// A value of TVM's; an object in it is released with it.
pub(crate) struct Value {
    api: &'static Api,
    any: Any,
}

// SAFETY: objects count their users atomically; what may be done with them at once, their
// owner sees to.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Api {
    /// Looks the functions up.
    pub(crate) fn bind(library: &Opened) -> Result<Self> {
        let f = Functions::bind(library)?;
        // Says that this is a TVM with the functions below registered.
        // SAFETY: only its presence matters.
        unsafe { symbol::<*const c_void>(library, "TVMFFITypeKeyToIndex") }?;
        let find = |name: &str| registered(&f, name);
        Ok(Self {
            load: find("ffi.ModuleLoadFromFile")?,
            function: find("ffi.ModuleGetFunction")?,
            size: find("ffi.ArraySize")?,
            item: find("ffi.ArrayGetItem")?,
            f,
        })
    }

    /// Version of its interface.
    pub(crate) fn version(&self) -> String {
        let mut version = [0; 3];
        // SAFETY: room for three numbers.
        unsafe { (self.f.TVMFFIGetVersion)(&raw mut version) };
        let [major, minor, patch] = version;
        format!("with tvm-ffi {major}.{minor}.{patch}")
    }

    /// A compiled model, from a file whose name ends with `.so`.
    pub(crate) fn module(&'static self, path: &str) -> Result<Value> {
        let mut text = path.as_bytes().to_vec();
        text.push(0);
        self.call(self.load.0, &[Any::text(&text)])
    }

    /// A function of a module.
    pub(crate) fn function(&'static self, module: &Value, name: &str) -> Result<Value> {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        let here = Any {
            kind: BOOL,
            extra: 0,
            value: 0,
        };
        if module.any.kind != MODULE {
            bail!(EINVAL, "it is no module of TVM");
        }
        let found = self.call(self.function.0, &[module.any, Any::text(&text), here])?;
        if found.any.kind != FUNCTION {
            bail!(EINVAL, "it has no function `{name}`");
        }
        Ok(found)
    }

    /// The tensors of a list.
    pub(crate) fn items(&'static self, list: &Value) -> Result<Vec<Value>> {
        let count = self.call(self.size.0, &[list.any])?.number()?;
        let item = |at| self.call(self.item.0, &[list.any, Any::number(at)]);
        (0..count).map(item).collect()
    }

    fn call(&'static self, function: *mut c_void, arguments: &[Any]) -> Result<Value> {
        let mut result = Any {
            kind: NONE,
            extra: 0,
            value: 0,
        };
        let count = i32::try_from(arguments.len()).map_err(|_| err!(ERANGE, "too many"))?;
        // SAFETY: a live function, live arguments, a live place.
        let status = unsafe {
            (self.f.TVMFFIFunctionCall)(function, arguments.as_ptr(), count, &raw mut result)
        };
        self.check(status)?;
        Ok(Value {
            api: self,
            any: result,
        })
    }

    fn check(&self, status: c_int) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut error = null_mut();
        // SAFETY: a live place.
        unsafe { (self.f.TVMFFIErrorMoveFromRaised)(&raw mut error) };
        if error.is_null() {
            bail!(EIO, "TVM does not say why");
        }
        // SAFETY: an error begins with the head of an object, then its kind and its message.
        let text = unsafe {
            let parts = error.cast::<u8>().add(OBJECT_HEAD).cast::<[Bytes; 2]>();
            let text = (*parts)[1].to_text();
            (self.f.TVMFFIObjectDecRef)(error);
            text
        };
        // What follows are the places in TVM's source.
        let text: Vec<&str> = text.lines().take(3).collect();
        Err(Error::new(code::EINVAL, text.join(" ")))
    }

    /// A tensor over memory that outlives it.
    ///
    /// # Safety
    /// `managed` stays where it is, with all it points at, as long as the value lives.
    pub(crate) unsafe fn tensor(&'static self, managed: *mut Managed) -> Result<Value> {
        let mut tensor = null_mut();
        // SAFETY: promised by the caller; a live place.
        let status = unsafe { (self.f.TVMFFITensorFromDLPack)(managed, 64, 1, &raw mut tensor) };
        self.check(status)?;
        Ok(Value {
            api: self,
            any: Any {
                kind: TENSOR,
                extra: 0,
                value: tensor as u64,
            },
        })
    }
}

fn registered(f: &Functions, name: &str) -> Result<Registered> {
    let text = Bytes {
        data: name.as_ptr(),
        size: name.len(),
    };
    let mut found = null_mut();
    // SAFETY: a live text and place.
    let status = unsafe { (f.TVMFFIFunctionGetGlobal)(&raw const text, &raw mut found) };
    if status != 0 || found.is_null() {
        bail!(ENOTSUP, "it has not registered `{name}`");
    }
    Ok(Registered(found))
}

impl Bytes {
    /// # Safety
    /// They are there.
    unsafe fn to_text(self) -> String {
        if self.size == 0 {
            return String::new();
        }
        // SAFETY: promised by the caller.
        let bytes = unsafe { std::slice::from_raw_parts(self.data, self.size) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

impl Any {
    /// A text that ends with a zero and outlives the call.
    pub(crate) fn text(text: &[u8]) -> Self {
        Self {
            kind: RAW_STRING,
            extra: 0,
            value: text.as_ptr() as u64,
        }
    }

    pub(crate) fn number(value: i64) -> Self {
        Self {
            kind: INT,
            extra: 0,
            value: value.cast_unsigned(),
        }
    }
}

impl Value {
    /// Its type.
    pub(crate) fn kind(&self) -> i32 {
        self.any.kind
    }

    /// For an argument: it has to outlive the call.
    pub(crate) fn any(&self) -> Any {
        self.any
    }

    /// Calls a function.
    pub(crate) fn call(&self, arguments: &[Any]) -> Result<Self> {
        self.api.call(self.object(), arguments)
    }

    /// A number.
    pub(crate) fn number(&self) -> Result<i64> {
        if self.any.kind != INT {
            bail!(EIO, "TVM gave no number, but type {}", self.any.kind);
        }
        Ok(self.any.value.cast_signed())
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<String> {
        match self.any.kind {
            SMALL_STRING => {
                let bytes = self.any.value.to_ne_bytes();
                let length = (self.any.extra as usize).min(bytes.len());
                Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
            }
            // SAFETY: a text is the head of an object, then its bytes.
            STRING => Ok(unsafe {
                let bytes = self.object().cast::<u8>().add(OBJECT_HEAD).cast::<Bytes>();
                (*bytes).to_text()
            }),
            kind => bail!(EIO, "TVM gave no text, but type {kind}"),
        }
    }

    /// Lends a tensor's description and elements to `f`.
    pub(crate) fn with_tensor<R>(&self, f: impl FnOnce(&DlTensor) -> Result<R>) -> Result<R> {
        if self.any.kind != TENSOR {
            bail!(
                ENOTSUP,
                "the model gave type {} of TVM, no tensor",
                self.any.kind
            );
        }
        let mut managed = null_mut();
        // SAFETY: a live tensor and place.
        let status = unsafe { (self.api.f.TVMFFITensorToDLPack)(self.object(), &raw mut managed) };
        self.api.check(status)?;
        // SAFETY: made by the call, released once, behind the last use.
        unsafe {
            let result = f(&(*managed).tensor);
            if let Some(delete) = (*managed).deleter {
                delete(managed);
            }
            result
        }
    }

    fn object(&self) -> *mut c_void {
        self.any.value as usize as *mut c_void
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if self.any.kind >= OBJECTS {
            // SAFETY: one use of it is this one's, and ends.
            unsafe { (self.api.f.TVMFFIObjectDecRef)(self.object()) };
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value of type {}", self.any.kind)
    }
}
