//! Which devices there are, and which one is meant.

use crate::api::{self, Api, Handle, check};
use std::ffi::c_void;
use vaccel_plugin::{Device, Result, bail};

/// A device of some platform.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: Handle,
    /// `PLATFORM:DEVICE`, counted from 0.
    pub(crate) place: String,
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) version: String,
    pub(crate) kind: u64,
    pub(crate) memory: u64,
    pub(crate) local_memory: u64,
    pub(crate) work_group: usize,
    pub(crate) doubles: bool,
}

// SAFETY: handles of OpenCL may be used from any thread.
unsafe impl Send for Found {}
// SAFETY: as above.
unsafe impl Sync for Found {}

impl Found {
    /// As `vaccel info` shows it.
    pub(crate) fn describe(&self) -> Device {
        Device {
            id: self.place.clone(),
            name: format!("{} ({})", self.name, self.platform),
            memory: Some(self.memory),
        }
    }

    /// True when this is what a user means: `0:1`, `gpu`, or a part of its name.
    fn is(&self, wanted: &str) -> bool {
        match wanted {
            "cpu" => self.kind & api::DEVICE_TYPE_CPU != 0,
            "gpu" => self.kind & api::DEVICE_TYPE_GPU != 0,
            "accelerator" => self.kind & api::DEVICE_TYPE_ACCELERATOR != 0,
            place if place.contains(':') => self.place == place,
            part => [&self.name, &self.platform]
                .iter()
                .any(|name| name.to_lowercase().contains(part)),
        }
    }

    /// Accelerators come before graphics processors, these before processors: whoever
    /// asks for OpenCL does not ask for the processor.
    fn rank(&self) -> u32 {
        match self.kind {
            kind if kind & api::DEVICE_TYPE_GPU != 0 => 0,
            kind if kind & api::DEVICE_TYPE_ACCELERATOR != 0 => 1,
            _ => 2,
        }
    }
}

/// All devices of all platforms. `ENODEV` when there is none, with the remedy.
pub(crate) fn list(api: &Api) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    let platforms = handles("clGetPlatformIDs", |room, ids, count| {
        // SAFETY: room for as many as said.
        unsafe { (api.platforms)(room, ids, count) }
    })?;
    for (p, &platform) in platforms.iter().enumerate() {
        let text = |what| {
            text("clGetPlatformInfo", |room, at, size| {
                // SAFETY: a live platform, and a buffer of that size.
                unsafe { (api.platform_info)(platform, what, room, at, size) }
            })
        };
        let (name, version) = (text(api::PLATFORM_NAME)?, text(api::PLATFORM_VERSION)?);
        let devices = handles("clGetDeviceIDs", |room, ids, count| {
            // SAFETY: a live platform, and room for as many as said.
            unsafe { (api.devices)(platform, api::DEVICE_TYPE_ALL, room, ids, count) }
        });
        // A platform may be installed without its device.
        for (d, &id) in devices.unwrap_or_default().iter().enumerate() {
            all.push(about(api, id, format!("{p}:{d}"), &name, &version)?);
        }
    }
    if all.is_empty() {
        return Err(api::failed("clGetDeviceIDs", -1));
    }
    Ok(all)
}

fn about(api: &Api, id: Handle, place: String, platform: &str, version: &str) -> Result<Found> {
    let text = |what| {
        text("clGetDeviceInfo", |room, at, size| {
            // SAFETY: a live device, and a buffer of that size.
            unsafe { (api.device_info)(id, what, room, at, size) }
        })
    };
    let number = |what: u32| -> Result<u64> {
        let mut value = 0_u64;
        // SAFETY: these are cl_ulong.
        let status = unsafe {
            let at: *mut c_void = (&raw mut value).cast();
            (api.device_info)(id, what, 8, at, std::ptr::null_mut())
        };
        check("clGetDeviceInfo", status).map(|()| value)
    };
    let mut work_group = 0_usize;
    // SAFETY: this is a size_t.
    let status = unsafe {
        (api.device_info)(
            id,
            api::DEVICE_MAX_WORK_GROUP_SIZE,
            size_of::<usize>(),
            (&raw mut work_group).cast(),
            std::ptr::null_mut(),
        )
    };
    check("clGetDeviceInfo", status)?;
    let extensions = text(api::DEVICE_EXTENSIONS)?;
    Ok(Found {
        id,
        place,
        name: text(api::DEVICE_NAME)?,
        platform: platform.into(),
        version: version.into(),
        kind: number(api::DEVICE_TYPE)?,
        memory: number(api::DEVICE_GLOBAL_MEM_SIZE)?,
        local_memory: number(api::DEVICE_LOCAL_MEM_SIZE)?,
        work_group: work_group.max(1),
        doubles: extensions.split_whitespace().any(|e| e == "cl_khr_fp64"),
    })
}

/// The device that is wanted; without a wish, a graphics processor before an
/// accelerator before a processor. `ENODEV` lists those there are.
pub(crate) fn choose(mut all: Vec<Found>, wanted: Option<&str>) -> Result<Found> {
    let names: Vec<String> = all
        .iter()
        .map(|d| format!("{} {} ({})", d.place, d.name, d.platform))
        .collect();
    all.sort_by_key(Found::rank);
    let wish = wanted.map(str::to_lowercase);
    let found = all
        .into_iter()
        .find(|device| wish.as_deref().is_none_or(|wish| device.is(wish)));
    match found {
        Some(device) => Ok(device),
        None => bail!(
            ENODEV,
            "no OpenCL device is `{}`; there are: {}",
            wanted.unwrap_or_default(),
            names.join(", ")
        ),
    }
}

/// Asks for the count, then for as many.
fn handles(what: &str, ask: impl Fn(u32, *mut Handle, *mut u32) -> i32) -> Result<Vec<Handle>> {
    let mut count = 0;
    check(what, ask(0, std::ptr::null_mut(), &raw mut count))?;
    let mut all = vec![std::ptr::null_mut(); count as usize];
    if count > 0 {
        check(what, ask(count, all.as_mut_ptr(), &raw mut count))?;
    }
    all.truncate(count as usize);
    Ok(all)
}

/// Asks for the size of a text, then for the text.
pub(crate) fn text(
    what: &str,
    ask: impl Fn(usize, *mut c_void, *mut usize) -> i32,
) -> Result<String> {
    let mut size = 0;
    check(what, ask(0, std::ptr::null_mut(), &raw mut size))?;
    let mut bytes = vec![0_u8; size];
    if size > 0 {
        check(what, ask(size, bytes.as_mut_ptr().cast(), &raw mut size))?;
    }
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Ok(String::from_utf8_lossy(&bytes[..end]).trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use vaccel_plugin::code;

    fn device(place: &str, name: &str, kind: u64) -> Found {
        Found {
            id: std::ptr::null_mut(),
            place: place.into(),
            name: name.into(),
            platform: "Some Platform".into(),
            version: String::new(),
            kind,
            memory: 0,
            local_memory: 0,
            work_group: 1,
            doubles: true,
        }
    }

    #[test]
    fn a_device_is_chosen_by_place_kind_or_name_and_else_the_fastest_kind() {
        let all = || {
            vec![
                device("0:0", "Xeon", api::DEVICE_TYPE_CPU),
                device("1:0", "Card", api::DEVICE_TYPE_ACCELERATOR),
                device("1:1", "Radeon", api::DEVICE_TYPE_GPU),
            ]
        };
        let chosen = |wanted| choose(all(), wanted).unwrap().place;
        assert_eq!(chosen(None), "1:1");
        assert_eq!(chosen(Some("cpu")), "0:0");
        assert_eq!(chosen(Some("Accelerator")), "1:0");
        assert_eq!(chosen(Some("1:0")), "1:0");
        assert_eq!(chosen(Some("xeon")), "0:0");
        let error = choose(all(), Some("2:0")).unwrap_err();
        assert_eq!(error.code(), code::ENODEV);
        assert!(error.message().contains("1:1 Radeon"), "{error}");
    }
}
