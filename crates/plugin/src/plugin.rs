//! The contract of a plugin: one trait, whose every operation has a default.

use crate::arg::{Args, ArgsMut};
use crate::backend::{Model, ModelSource, Options};
use crate::describe::{Description, Judgement};
use crate::error::{Error, Result};
use crate::image::{Classified, Picture};
use crate::op::Op;
use crate::resource::Resource;
use crate::session::Session;
use crate::tensor::{TensorOut, TensorView};
use std::ffi::CStr;
use vaccel_abi::plugin::PluginType;

/// A plugin written in safe Rust. Implement what [`OPS`](Self::OPS) names (and
/// [`load_model`](Self::load_model) if [`MODELS`](Self::MODELS)), then
/// [`export_plugin!`](crate::export_plugin) it.
///
/// Operations are called from any thread, several at once. An `Err` becomes the
/// C error code and the caller's last error text; a panic becomes `EFAULT`.
/// Inputs and outputs are checked before: pointers, lengths, alignment, sizes
/// of shapes, and inputs that overlap outputs.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Short name, for example `c"noop"`.
    const NAME: &'static CStr;
    /// Version, usually [`version!()`](crate::version).
    const VERSION: &'static CStr;
    /// `abi::plugin::PLUGIN_*` bits: what kind of plugin applications find it as.
    const TYPES: PluginType;
    /// The operations it offers. Those of TensorFlow, TFLite and Torch models
    /// are served by [`load_model`](Self::load_model) too, with tensors named
    /// `node:index` for TensorFlow and by position for the others.
    const OPS: &'static [Op];
    /// True to offer the neutral model API.
    const MODELS: bool = false;
    /// True when [`judge_model`](Self::judge_model) is implemented.
    const JUDGES: bool = false;
    /// True when running a model that was not loaded loads it first, without
    /// options; false: it is `ENOENT`.
    const LOAD_ON_RUN: bool = false;

    /// Makes it, once, when the library loads the plugin. It should be quick:
    /// what is slow or may be missing is opened on first use.
    fn new() -> Result<Self>;

    /// What it says of itself.
    fn describe(&self) -> Description;

    /// [`Op::Noop`].
    fn noop(&self, session: &Session<'_>) -> Result<()> {
        let _ = session;
        Err(not_implemented())
    }

    /// [`Op::Exec`]: calls `symbol` of the shared library `library`.
    fn exec(
        &self,
        session: &Session<'_>,
        library: &CStr,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        let _ = (session, library, symbol, read, write);
        Err(not_implemented())
    }

    /// [`Op::ExecWithResource`]: as [`exec`](Self::exec), of a library resource.
    fn exec_with_resource(
        &self,
        session: &Session<'_>,
        library: &Resource<'_>,
        symbol: &CStr,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        let _ = (session, library, symbol, read, write);
        Err(not_implemented())
    }

    /// [`Op::ImageClassify`] of an encoded picture (JPEG, PNG).
    fn image_classify(&self, session: &Session<'_>, image: &[u8]) -> Result<Classified> {
        let _ = (session, image);
        Err(not_implemented())
    }

    /// [`Op::ImageDetect`].
    fn image_detect(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        let _ = (session, image);
        Err(not_implemented())
    }

    /// [`Op::ImageSegment`].
    fn image_segment(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        let _ = (session, image);
        Err(not_implemented())
    }

    /// [`Op::ImagePose`].
    fn image_pose(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        let _ = (session, image);
        Err(not_implemented())
    }

    /// [`Op::ImageDepth`].
    fn image_depth(&self, session: &Session<'_>, image: &[u8]) -> Result<Picture> {
        let _ = (session, image);
        Err(not_implemented())
    }

    /// Loads a model, for the neutral API and for those of TensorFlow, TFLite
    /// and Torch. The SDK keeps it by session and resource: loading the same
    /// one again does nothing, and it is dropped with its resource or session.
    fn load_model(
        &self,
        session: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        let _ = (session, source, options);
        Err(not_implemented())
    }

    /// Says what a model is, of whatever format, without loading it; `None`: the default
    /// model of the image operation. `VACCEL_PLUGINS=auto` asks one plugin for all.
    fn judge_model(
        &self,
        session: &Session<'_>,
        resource: Option<&Resource<'_>>,
        op: Option<Op>,
    ) -> Result<Judgement> {
        let _ = (session, resource, op);
        Err(not_implemented())
    }

    /// [`Op::TorchSgemm`].
    fn torch_sgemm(
        &self,
        session: &Session<'_>,
        call: &TorchSgemm<'_>,
        out: &mut TensorOut<'_>,
    ) -> Result<()> {
        let _ = (session, call, out);
        Err(not_implemented())
    }

    /// [`Op::Sgemm`]: C = alpha A B + beta C.
    fn sgemm(&self, session: &Session<'_>, call: Sgemm<'_>) -> Result<()> {
        let _ = (session, call);
        Err(not_implemented())
    }

    /// [`Op::FpgaArraycopy`]: `out` = `a`, of the same length.
    fn fpga_arraycopy(&self, session: &Session<'_>, a: &[i32], out: &mut [i32]) -> Result<()> {
        let _ = (session, a, out);
        Err(not_implemented())
    }

    /// [`Op::FpgaMmult`]: `c` = `a` `b`, square matrices of as many elements
    /// each as the slices are long.
    fn fpga_mmult(&self, session: &Session<'_>, a: &[f32], b: &[f32], c: &mut [f32]) -> Result<()> {
        let _ = (session, a, b, c);
        Err(not_implemented())
    }

    /// [`Op::FpgaParallel`]: `add` = `a` + `b` and `mult` = `a` `b`, element by
    /// element, all of the same length.
    fn fpga_parallel(
        &self,
        session: &Session<'_>,
        a: &[f32],
        b: &[f32],
        add: &mut [f32],
        mult: &mut [f32],
    ) -> Result<()> {
        let _ = (session, a, b, add, mult);
        Err(not_implemented())
    }

    /// [`Op::FpgaVectoradd`]: `c` = `a` + `b`; `c` is as long as `a`.
    fn fpga_vectoradd(
        &self,
        session: &Session<'_>,
        a: &[f32],
        b: &[f32],
        c: &mut [f32],
    ) -> Result<()> {
        let _ = (session, a, b, c);
        Err(not_implemented())
    }

    /// [`Op::Minmax`]: the smallest and the largest element; `clipped` takes the
    /// elements, clipped to the thresholds.
    fn minmax(&self, session: &Session<'_>, call: Minmax<'_>) -> Result<(f64, f64)> {
        let _ = (session, call);
        Err(not_implemented())
    }

    /// [`Op::Opencv`].
    fn opencv(
        &self,
        session: &Session<'_>,
        read: &Args<'_>,
        write: &mut ArgsMut<'_>,
    ) -> Result<()> {
        let _ = (session, read, write);
        Err(not_implemented())
    }

    /// A session was opened. Not every library tells a plugin that is no
    /// transport: count on it for nothing that matters.
    fn session_opened(&self, session_id: i64, hint: PluginType) -> Result<()> {
        let _ = (session_id, hint);
        Ok(())
    }

    /// A session was closed; its models are dropped already. As
    /// [`session_opened`](Self::session_opened).
    fn session_closed(&self, session_id: i64) {
        let _ = session_id;
    }

    /// A resource was registered with a session; an error refuses it.
    fn resource_registered(&self, session: &Session<'_>, resource: &Resource<'_>) -> Result<()> {
        let _ = (session, resource);
        Ok(())
    }

    /// A resource was unregistered; the model loaded from it is dropped already.
    fn resource_unregistered(&self, session: &Session<'_>, resource: &Resource<'_>) {
        let _ = (session, resource);
    }
}

fn not_implemented() -> Error {
    Error::unsupported("the plugin lists this operation but does not implement it")
}

/// Operands of [`Op::Sgemm`]: row-major matrices A (m x k), B (k x n), C (m x n).
///
/// Element (i, j) of A is `a[i * lda + j]`; each slice ends with the last
/// element of its matrix. `c` is to be read only when `beta` is not 0.
#[derive(Debug)]
pub struct Sgemm<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Factor of the product.
    pub alpha: f32,
    /// A.
    pub a: &'a [f32],
    /// Distance between the rows of A, at least k.
    pub lda: usize,
    /// B.
    pub b: &'a [f32],
    /// Distance between the rows of B, at least n.
    pub ldb: usize,
    /// Factor of the old C.
    pub beta: f32,
    /// C.
    pub c: &'a mut [f32],
    /// Distance between the rows of C, at least n.
    pub ldc: usize,
}

impl<'a> Sgemm<'a> {
    /// C = A B of square matrices without gaps, as [`Op::FpgaMmult`] has them.
    ///
    /// # Errors
    /// `EINVAL` when they are not square, or not of one size.
    pub fn square(a: &'a [f32], b: &'a [f32], c: &'a mut [f32]) -> Result<Self> {
        let n = a.len().isqrt();
        if n * n != a.len() {
            crate::bail!(EINVAL, "a matrix of {} elements is not square", a.len());
        }
        crate::device::equally_long(&[a.len(), b.len(), c.len()])?;
        Ok(Self {
            m: n,
            n,
            k: n,
            alpha: 1.0,
            a,
            lda: n,
            b,
            ldb: n,
            beta: 0.0,
            c,
            ldc: n,
        })
    }
}

/// Operands of [`Op::TorchSgemm`].
#[derive(Debug)]
pub struct TorchSgemm<'a> {
    /// A, M x K.
    pub a: TensorView<'a>,
    /// B, K x N.
    pub b: TensorView<'a>,
    /// C, M x N, where the caller has one.
    pub c: Option<TensorView<'a>>,
    /// Rows of A.
    pub m: usize,
    /// Columns of B.
    pub n: usize,
    /// Columns of A.
    pub k: usize,
}

/// Operands of [`Op::Minmax`].
#[derive(Debug)]
pub struct Minmax<'a> {
    /// The elements.
    pub input: &'a [f64],
    /// Elements below become this.
    pub low: i32,
    /// Elements above become this.
    pub high: i32,
    /// The clipped elements, as many as in `input`.
    pub clipped: &'a mut [f64],
}

impl Minmax<'_> {
    /// The thresholds, low and high.
    ///
    /// # Errors
    /// `EINVAL` when the low one is above the high one, or when there is not a clipped element
    /// for each.
    pub fn thresholds(&self) -> Result<(f64, f64)> {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        if low > high {
            crate::bail!(
                EINVAL,
                "the low threshold {low} is above the high one {high}"
            );
        }
        crate::device::equally_long(&[self.input.len(), self.clipped.len()])?;
        Ok((low, high))
    }

    /// The extremes of many, given those of parts: a low one, then a high one, and so on.
    /// Infinities the wrong way round when there are none.
    #[must_use]
    pub fn extremes_of(parts: &[f64]) -> (f64, f64) {
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        parts.chunks_exact(2).fold(none, |(low, high), pair| {
            (low.min(pair[0]), high.max(pair[1]))
        })
    }
}
