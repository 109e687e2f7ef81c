//! The template plugin: copy it to begin one of your own.
//!
//! It is complete: it does something (`minmax`), it runs models of a format of
//! its own (`y = scale * x + bias`), and it reports errors as users need them.

use std::ffi::CStr;
use vaccel_plugin::{
    Description, Dtype, Minmax, Model, ModelInfo, ModelSource, Op, Options, Plugin, Result,
    Session, TensorInfo, TensorOut, TensorView, abi, bail, err, find_tensor, log,
};

/// One value of this type lives from loading to unloading; every operation gets
/// a reference to it, from several threads at once. Shared state goes here,
/// behind a lock if it changes.
struct Template;

impl Plugin for Template {
    // Applications see these two in `vaccel info`.
    const NAME: &'static CStr = c"template";
    const VERSION: &'static CStr = vaccel_plugin::version!();
    // A session opened with one of these bits is served by this plugin.
    const TYPES: u32 = abi::plugin::PLUGIN_CPU | abi::plugin::PLUGIN_SOFTWARE;
    // What is not listed is refused before it comes here. Add `Op::TfModelLoad`,
    // `Op::TfModelRun` and so on to serve those calls with the same models.
    const OPS: &'static [Op] = &[Op::Noop, Op::Minmax];
    const MODELS: bool = true;

    // Called once, when the library loads the plugin. Be quick, and open a slow
    // or missing runtime on first use: a plugin that cannot start stops the
    // whole program that asked for it.
    fn new() -> Result<Self> {
        Ok(Self)
    }

    // `Description::missing(...)` says what to install when something is not
    // there.
    fn describe(&self) -> Description {
        Description {
            formats: vec![FORMAT.into()],
            ..Description::ready("Shows how a plugin is written.")
        }
    }

    fn noop(&self, session: &Session<'_>) -> Result<()> {
        // Formatted only when the level is on.
        log::debug!("template: noop in session {}", session.id());
        Ok(())
    }

    // Slices are checked: not null, aligned, as long as the caller says, and
    // apart from each other. A panic would become an error code, too.
    fn minmax(&self, _: &Session<'_>, call: Minmax<'_>) -> Result<(f64, f64)> {
        let (low, high) = (f64::from(call.low), f64::from(call.high));
        if low > high {
            // The code is for the program; the text names the thing and the way
            // out, for its user.
            bail!(
                EINVAL,
                "the low threshold {low} is above the high one {high}"
            );
        }
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for (clipped, &x) in call.clipped.iter_mut().zip(call.input) {
            min = min.min(x);
            max = max.max(x);
            *clipped = x.clamp(low, high);
        }
        Ok((min, max))
    }

    // The SDK keeps what this returns, by session and resource, and drops it
    // when the application unloads it or is gone.
    fn load_model(
        &self,
        _: &Session<'_>,
        source: &ModelSource<'_>,
        options: &Options,
    ) -> Result<Box<dyn Model>> {
        // A misspelt option must not be ignored.
        options.expect_only(&["gain"])?;
        let gain = options.get_parsed::<f32>("gain")?.unwrap_or(1.0);
        let bytes = source.resource().first_blob()?.bytes()?;
        let text = str::from_utf8(&bytes).map_err(|_| err!(EINVAL, "the model is not text"))?;
        Ok(Box::new(Line::parse(text, gain)?))
    }
}

/// Name of the model format.
const FORMAT: &str = "template-line";

/// A model: two lines of text, `scale = 2.5` and `bias = 1`.
struct Line {
    scale: f32,
    bias: f32,
    inputs: Vec<TensorInfo>,
    outputs: Vec<TensorInfo>,
}

impl Line {
    fn parse(text: &str, gain: f32) -> Result<Self> {
        let (mut scale, mut bias) = (None, None);
        for (i, line) in text.lines().enumerate() {
            let Some((key, value)) = line.split_once('=') else {
                bail!(EINVAL, "line {}: `{line}` is not `key = value`", i + 1);
            };
            let value = value.trim().parse::<f32>();
            let value = value.map_err(|e| err!(EINVAL, "line {}: {e}", i + 1))?;
            match key.trim() {
                "scale" => scale = Some(value),
                "bias" => bias = Some(value),
                key => bail!(EINVAL, "line {}: `{key}` is neither scale nor bias", i + 1),
            }
        }
        let (Some(scale), Some(bias)) = (scale, bias) else {
            bail!(EINVAL, "a model needs `scale = ...` and `bias = ...`");
        };
        // -1: any length will do.
        let tensor = |name: &str| TensorInfo {
            name: name.into(),
            dtype: Some(Dtype::F32),
            shape: vec![-1],
        };
        Ok(Self {
            scale: scale * gain,
            bias,
            inputs: vec![tensor("x")],
            outputs: vec![tensor("y")],
        })
    }
}

impl Model for Line {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            format: FORMAT.into(),
            metadata: None,
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
        }
    }

    fn run(&self, inputs: &[TensorView<'_>], outputs: &mut [TensorOut<'_>]) -> Result<()> {
        let [x] = inputs else {
            bail!(
                EINVAL,
                "one input is needed, `x`, but {} came",
                inputs.len()
            );
        };
        // Callers name tensors or count them; this resolves both, and lists the
        // names when there is no such tensor.
        find_tensor("input", &self.inputs, x.name(), 0)?;
        // Any alignment; `as_slice` would spare the copy.
        let values = x.to_vec::<f32>()?;
        let y: Vec<f32> = values.iter().map(|x| self.scale * x + self.bias).collect();
        for (i, out) in outputs.iter_mut().enumerate() {
            find_tensor("output", &self.outputs, out.name(), i)?;
            // Into the caller's memory or new memory, whichever was asked for.
            // `reserve` fills it in place.
            out.write_slice(x.shape(), &y)?;
        }
        Ok(())
    }
}

// Makes the symbols that the library looks for. Once in a crate.
vaccel_plugin::export_plugin!(Template);
