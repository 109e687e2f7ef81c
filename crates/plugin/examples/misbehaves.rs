//! A plugin that does everything wrong that safe code can do: for the tests.

use std::ffi::CStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use vaccel_plugin::{
    Args, ArgsMut, Classified, Description, Dtype, Model, ModelInfo, ModelSource, Op, Options,
    Picture, Plugin, ResourceType, Result, Session, Sgemm, TensorInfo, TensorOut, TensorView, abi,
    bail,
};

struct Misbehaves;

/// Panics again when the panic is put away.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a panic within a panic");
    }
}

static LIVE_MODELS: AtomicUsize = AtomicUsize::new(0);

impl Plugin for Misbehaves {
    const NAME: &'static CStr = c"misbehaves";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    const TYPES: u32 = abi::plugin::PLUGIN_DEBUG;
    const OPS: &'static [Op] = Op::ALL;
    const MODELS: bool = true;

    fn new() -> Result<Self> {
        if std::env::var_os("MISBEHAVES_FAIL").is_some() {
            bail!(ENODEV, "told not to start");
        }
        assert!(
            std::env::var_os("MISBEHAVES_PANIC").is_none(),
            "told to panic"
        );
        Ok(Self)
    }

    fn describe(&self) -> Description {
        panic!("nothing\0to say")
    }

    fn noop(&self, session: &Session<'_>) -> Result<()> {
        match session.id() {
            1 => panic!("a static text"),
            2 => panic!("session {}", session.id()),
            3 => std::panic::panic_any(Bomb),
            4 => bail!(EBUSY, "busy"),
            // Not a code of the C API.
            5 => Err(vaccel_plugin::Error::new(0, "success is no error")),
            6 => {
                let empty: &[u8] = &[];
                let i = usize::try_from(session.id()).unwrap_or(0);
                vaccel_plugin::log::info!("{}", empty[i]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn exec(
        &self,
        _: &Session<'_>,
        _: &CStr,
        _: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        // Reads and writes all it is given, as bytes.
        let mut sum = 0_u64;
        for i in 0..read.len() {
            sum += read.bytes(i)?.iter().map(|b| u64::from(*b)).sum::<u64>();
        }
        for i in 0..write.len() {
            write.bytes_mut(i)?.fill(sum as u8);
        }
        Ok(())
    }

    fn image_classify(&self, _: &Session<'_>, image: &[u8]) -> Result<Classified> {
        Ok(Classified {
            text: format!("{} bytes\0hidden", image.len()),
            picture: Picture::at("/x".repeat(image.len())),
        })
    }

    // Listed, but without a body: image_detect.

    // Says what the session has: not misbehaved, but needs the library.
    fn image_segment(&self, session: &Session<'_>, _: &[u8]) -> Result<Picture> {
        let models = session.resources(ResourceType::Model)?;
        let names: Vec<&str> = models
            .iter()
            .filter_map(|m| m.first_blob().ok()?.name())
            .collect();
        let data = session.resource(ResourceType::Data)?.is_some();
        let rundir = session.rundir().is_some_and(std::path::Path::is_dir);
        Ok(Picture::at(format!("{} {data} {rundir}", names.join(","))))
    }

    fn sgemm(&self, _: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        // Touches the first and the last element of everything.
        let ends = |x: &[f32]| x.first().copied().unwrap_or(0.0) + x.last().copied().unwrap_or(0.0);
        call.c.fill(ends(call.a) + ends(call.b));
        Ok(())
    }

    fn fpga_vectoradd(&self, _: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        for (i, c) in c.iter_mut().enumerate() {
            *c = a[i] + b[i];
        }
        Ok(())
    }

    fn load_model(
        &self,
        _: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        options.expect_only(&["fault"])?;
        if options.get("fault") == Some("load-panic") {
            panic!("cannot load {:?}", source.resource().id());
        }
        let size = source.resource().first_blob()?.bytes()?.len();
        LIVE_MODELS.fetch_add(1, Ordering::SeqCst);
        let fault = options.get("fault").unwrap_or_default().to_owned();
        Ok(Box::new(Faulty { fault, size }))
    }
}

struct Faulty {
    fault: String,
    size: usize,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        LIVE_MODELS.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(self.fault, "drop-panic", "told to");
    }
}

impl Model for Faulty {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            format: "faulty".into(),
            metadata: Some(format!(
                "{{\"live\":{},\"size\":{}}}",
                LIVE_MODELS.load(Ordering::SeqCst),
                self.size
            )),
            inputs: vec![TensorInfo {
                name: "x".into(),
                dtype: Some(Dtype::F32),
                shape: vec![-1, 2],
            }],
            outputs: match self.fault.as_str() {
                "rank" => vec![TensorInfo {
                    name: "y".into(),
                    dtype: None,
                    shape: vec![1; 9],
                }],
                _ => Vec::new(),
            },
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        match self.fault.as_str() {
            "run-panic" => panic!("no run today"),
            "forget" => Ok(()),
            "wrong-size" => outputs[0].write(Dtype::F32, &[3], &[0; 11]),
            "nine-dims" => outputs[0].write(Dtype::U8, &[1; 9], &[0]),
            "native" => outputs[0].write(Dtype::Native(77), &[1], &[0]),
            "write-then-fail" => {
                for out in outputs.iter_mut() {
                    out.write(Dtype::U8, &[4], &[1; 4])?;
                }
                bail!(EIO, "failed after writing")
            }
            _ => {
                // Doubles f32 inputs into the outputs of the same positions.
                for (input, out) in inputs.iter().zip(outputs) {
                    let values = input.as_slice::<f32>()?;
                    let room = out.reserve_slice::<f32>(input.shape())?;
                    for (y, x) in room.iter_mut().zip(values) {
                        *y = 2.0 * x;
                    }
                }
                Ok(())
            }
        }
    }
}

vaccel_plugin::export_plugin!(Misbehaves);
