//! The two nets that everybody measures, with random weights from a seed: what a net answers does
//! not matter to how long it takes. The same weights in every format.

mod graphdef;
mod onnx;
mod tflite;
mod torchscript;

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};

/// A folder with `model.onnx` and `model.toml` of a net, made unless it is there.
pub(crate) fn folder(parent: &Path, net: &str) -> Result<PathBuf> {
    let folder = parent.join(net);
    made(parent, net, "model.onnx", onnx::Writer::new)?;
    let about = folder.join("model.toml");
    if !about.exists() {
        std::fs::write(about, description(net))?;
    }
    Ok(folder)
}

/// A frozen graph of TensorFlow of a net, made unless it is there; its input is [1, 224, 224, 3].
pub(crate) fn frozen_graph(parent: &Path, net: &str) -> Result<PathBuf> {
    made(parent, net, "model.pb", graphdef::Writer::new)
}

/// A model of TensorFlow Lite of a net, made unless it is there; its input is [1, 224, 224, 3].
pub(crate) fn tflite(parent: &Path, net: &str) -> Result<PathBuf> {
    made(parent, net, "model.tflite", tflite::Writer::new)
}

/// A TorchScript archive of a net, made unless it is there.
pub(crate) fn torchscript(parent: &Path, net: &str) -> Result<PathBuf> {
    made(parent, net, "model.pt", torchscript::Writer::new)
}

/// Writes a file of this name into the folder of a net, unless it is there.
fn made<L: Layers>(
    parent: &Path,
    net: &str,
    name: &str,
    new: impl FnOnce() -> L,
) -> Result<PathBuf> {
    let folder = parent.join(net);
    let file = folder.join(name);
    if file.exists() {
        return Ok(file);
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let bytes = match net {
        "resnet50" => resnet50(new())?,
        "mobilenetv2" => mobilenet_v2(new())?,
        other => bail!("there is no net `{other}`"),
    };
    // By way of another name: a net that was interrupted is made again.
    let part = file.with_extension("part");
    std::fs::write(&part, bytes).with_context(|| format!("cannot write {}", part.display()))?;
    std::fs::rename(part, &file)?;
    Ok(file)
}

fn description(net: &str) -> String {
    format!(
        "[model]\nname = \"{net}\"\ntask = \"classify\"\nfile = \"model.onnx\"\n\n\
         [input]\nresize = \"center-crop\"\nresize_to = 256\nwidth = 224\nheight = 224\n\
         mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n\n\
         [output]\nformat = \"logits\"\nlabels = \"imagenet\"\n"
    )
}

/// Length and width of the picture.
const SIDE: i64 = 224;
/// Numbers that come out.
const CLASSES: i64 = 1000;

/// What nets are made of; each format writes it its own way. Values go by name.
trait Layers {
    /// Name of the picture.
    fn input(&mut self) -> String;
    /// A convolution with bias, as it is after batch normalisation was folded into it.
    fn conv(&mut self, x: &str, conv: &Conv, weights: &mut Weights) -> String;
    fn relu(&mut self, x: &str) -> String;
    /// Cut to 0..6.
    fn relu6(&mut self, x: &str) -> String;
    /// The largest of 3 x 3, every other one; of values that are not below 0.
    fn max_pool(&mut self, x: &str) -> String;
    fn add(&mut self, a: &str, b: &str) -> String;
    /// Averages over the picture, and the last layer.
    fn head(&mut self, x: &str, channels: i64, weights: &mut Weights);
    /// The file.
    fn finish(self) -> Result<Vec<u8>>;
}

/// Sizes of a convolution.
struct Conv {
    from: i64,
    to: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
}

impl Conv {
    /// Output channels, inputs of each, height, width.
    fn dims(&self) -> [i64; 4] {
        [self.to, self.from / self.groups, self.kernel, self.kernel]
    }

    fn padding(&self) -> i64 {
        (self.kernel - 1) / 2
    }

    /// Kernel, in the order of its dimensions, and bias.
    fn draw(&self, weights: &mut Weights) -> (Vec<f32>, Vec<f32>) {
        let [to, inputs, height, width] = self.dims();
        // He et al. 2015: keeps the spread of values from layer to layer.
        let deviation = (2.0 / (inputs * height * width) as f32).sqrt();
        let kernel = weights.draw(to * inputs * height * width, deviation);
        (kernel, weights.draw(to, 0.01))
    }
}

/// Random numbers from a seed, the same on every machine.
struct Weights(u64);

impl Weights {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// So many of a normal distribution around 0.
    fn draw(&mut self, count: i64, deviation: f32) -> Vec<f32> {
        (0..count).map(|_| self.normal() * deviation).collect()
    }

    /// Of the last layer: classes x channels, and bias.
    fn head(&mut self, channels: i64) -> (Vec<f32>, Vec<f32>) {
        let matrix = self.draw(CLASSES * channels, (1.0 / channels as f32).sqrt());
        (matrix, self.draw(CLASSES, 0.01))
    }

    /// The sum of 12 even numbers of 0 to 1 less 6: near enough to normal.
    fn normal(&mut self) -> f32 {
        let mut sum = -6.0;
        for _ in 0..12 {
            // xorshift64*
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
            sum += bits as f32 / (1u32 << 24) as f32;
        }
        sum
    }
}

/// ResNet-50 (He et al. 2016), with the stride in the 3 x 3 convolution as in torchvision.
fn resnet50(mut net: impl Layers) -> Result<Vec<u8>> {
    let weights = &mut Weights::new(50);
    let conv = |from, to, kernel, stride| Conv {
        from,
        to,
        kernel,
        stride,
        groups: 1,
    };
    let picture = net.input();
    let stem = net.conv(&picture, &conv(3, 64, 7, 2), weights);
    let stem = net.relu(&stem);
    let mut x = net.max_pool(&stem);
    let mut channels = 64;
    for (blocks, width, stride) in [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let mut y = net.conv(&x, &conv(channels, width, 1, 1), weights);
            y = net.relu(&y);
            y = net.conv(&y, &conv(width, width, 3, stride), weights);
            y = net.relu(&y);
            y = net.conv(&y, &conv(width, 4 * width, 1, 1), weights);
            let shortcut = if block == 0 {
                net.conv(&x, &conv(channels, 4 * width, 1, stride), weights)
            } else {
                x
            };
            let sum = net.add(&y, &shortcut);
            x = net.relu(&sum);
            channels = 4 * width;
        }
    }
    net.head(&x, channels, weights);
    net.finish()
}

/// MobileNetV2 (Sandler et al. 2018), width 1.0.
fn mobilenet_v2(mut net: impl Layers) -> Result<Vec<u8>> {
    let weights = &mut Weights::new(2);
    let conv = |from, to, kernel, stride, groups| Conv {
        from,
        to,
        kernel,
        stride,
        groups,
    };
    let picture = net.input();
    let mut x = net.conv(&picture, &conv(3, 32, 3, 2, 1), weights);
    x = net.relu6(&x);
    let mut channels = 32;
    // Table 2 of the paper: expansion, channels, blocks, stride.
    for (expansion, to, blocks, stride) in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let hidden = channels * expansion;
            let mut y = x.clone();
            if expansion != 1 {
                y = net.conv(&y, &conv(channels, hidden, 1, 1, 1), weights);
                y = net.relu6(&y);
            }
            y = net.conv(&y, &conv(hidden, hidden, 3, stride, hidden), weights);
            y = net.relu6(&y);
            y = net.conv(&y, &conv(hidden, to, 1, 1, 1), weights);
            x = if stride == 1 && channels == to {
                net.add(&x, &y)
            } else {
                y
            };
            channels = to;
        }
    }
    x = net.conv(&x, &conv(channels, 1280, 1, 1, 1), weights);
    x = net.relu6(&x);
    net.head(&x, 1280, weights);
    net.finish()
}

/// As much of protocol buffers as files of models need.
mod wire {
    pub(super) fn number(out: &mut Vec<u8>, mut n: u64) {
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
    }

    pub(super) fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(content.len() + 8);
        number(&mut out, (u64::from(field) << 3) | 2);
        number(&mut out, content.len() as u64);
        out.extend_from_slice(content);
        out
    }

    pub(super) fn int(field: u8, n: u64) -> Vec<u8> {
        let mut out = Vec::new();
        number(&mut out, u64::from(field) << 3);
        number(&mut out, n);
        out
    }
}

/// From output, input, height, width to height, width, input, output.
fn channels_last(dims: [i64; 4], kernel: &[f32]) -> Vec<f32> {
    let [to, from, height, width] = dims.map(|d| d as usize);
    let mut turned = Vec::with_capacity(kernel.len());
    for place in 0..height * width {
        for i in 0..from {
            turned.extend((0..to).map(|o| kernel[(o * from + i) * height * width + place]));
        }
    }
    turned
}

/// Numbers as files have them.
fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
