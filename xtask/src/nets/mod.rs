//! The two nets that everybody measures, with random weights from a seed: what a net answers does
//! not matter to how long it takes.

mod onnx;

use anyhow::{Context, Result};
use onnx::Attribute::{Int, Ints};
use onnx::Net;
use std::path::{Path, PathBuf};

/// A folder with `model.onnx` and `model.toml` of a net, made unless it is there.
pub(crate) fn folder(parent: &Path, net: &str) -> Result<PathBuf> {
    let folder = parent.join(net);
    let model = folder.join("model.onnx");
    if !model.exists() {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let part = folder.join("model.part");
        match net {
            "resnet50" => resnet50(&part)?,
            "mobilenetv2" => mobilenet_v2(&part)?,
            other => anyhow::bail!("there is no net `{other}`"),
        }
        std::fs::write(folder.join("model.toml"), description(net))?;
        // Last: a net that was interrupted is made again.
        std::fs::rename(part, model)?;
    }
    Ok(folder)
}

fn description(net: &str) -> String {
    format!(
        "[model]\nname = \"{net}\"\ntask = \"classify\"\nfile = \"model.onnx\"\n\n\
         [input]\nresize = \"center-crop\"\nresize_to = 256\nwidth = 224\nheight = 224\n\
         mean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n\n\
         [output]\nformat = \"logits\"\nlabels = \"imagenet\"\n"
    )
}

const INPUT: (&str, &[i64]) = ("input", &[1, 3, 224, 224]);
const OUTPUT: (&str, &[i64]) = ("logits", &[1, 1000]);

/// A convolution with bias, as it is after batch normalisation was folded into it.
struct Conv {
    from: i64,
    to: i64,
    kernel: i64,
    stride: i64,
    groups: i64,
}

impl Conv {
    fn add(&self, net: &mut Net, input: &str) -> String {
        let inputs = self.from / self.groups;
        // He et al. 2015: keeps the spread of values from layer to layer.
        let deviation = (2.0 / (inputs * self.kernel * self.kernel) as f32).sqrt();
        let weights = net.weights(&[self.to, inputs, self.kernel, self.kernel], deviation);
        let bias = net.weights(&[self.to], 0.01);
        let pad = (self.kernel - 1) / 2;
        net.node(
            "Conv",
            &[input, &weights, &bias],
            &[
                Ints("kernel_shape", &[self.kernel; 2]),
                Ints("strides", &[self.stride; 2]),
                Ints("pads", &[pad; 4]),
                Int("group", self.groups),
            ],
        )
    }
}

/// Averages over the picture, and the last layer.
fn head(net: &mut Net, features: &str, channels: i64) {
    let mean = net.node("GlobalAveragePool", &[features], &[]);
    let flat = net.node("Flatten", &[&mean], &[Int("axis", 1)]);
    let weights = net.weights(&[1000, channels], (1.0 / channels as f32).sqrt());
    let bias = net.weights(&[1000], 0.01);
    net.named_node(
        "Gemm",
        &[&flat, &weights, &bias],
        &[Int("transB", 1)],
        OUTPUT.0,
    );
}

/// ResNet-50 (He et al. 2016), with the stride in the 3 x 3 convolution as in torchvision.
fn resnet50(path: &Path) -> Result<()> {
    let mut net = Net::new(50);
    let conv = |from, to, kernel, stride| Conv {
        from,
        to,
        kernel,
        stride,
        groups: 1,
    };
    let stem = conv(3, 64, 7, 2).add(&mut net, INPUT.0);
    let stem = net.node("Relu", &[&stem], &[]);
    let mut x = net.node(
        "MaxPool",
        &[&stem],
        &[
            Ints("kernel_shape", &[3; 2]),
            Ints("strides", &[2; 2]),
            Ints("pads", &[1; 4]),
        ],
    );
    let mut channels = 64;
    for (blocks, width, stride) in [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)] {
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            let mut y = conv(channels, width, 1, 1).add(&mut net, &x);
            y = net.node("Relu", &[&y], &[]);
            y = conv(width, width, 3, stride).add(&mut net, &y);
            y = net.node("Relu", &[&y], &[]);
            y = conv(width, 4 * width, 1, 1).add(&mut net, &y);
            let shortcut = if block == 0 {
                conv(channels, 4 * width, 1, stride).add(&mut net, &x)
            } else {
                x
            };
            let sum = net.node("Add", &[&y, &shortcut], &[]);
            x = net.node("Relu", &[&sum], &[]);
            channels = 4 * width;
        }
    }
    head(&mut net, &x, channels);
    net.write(path, INPUT, OUTPUT)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// MobileNetV2 (Sandler et al. 2018), width 1.0.
fn mobilenet_v2(path: &Path) -> Result<()> {
    let mut net = Net::new(2);
    let (low, high) = (net.tensor(&[], &[0.0]), net.tensor(&[], &[6.0]));
    let relu6 = |net: &mut Net, x: &str| net.node("Clip", &[x, &low, &high], &[]);
    let conv = |from, to, kernel, stride, groups| Conv {
        from,
        to,
        kernel,
        stride,
        groups,
    };
    let mut x = conv(3, 32, 3, 2, 1).add(&mut net, INPUT.0);
    x = relu6(&mut net, &x);
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
                y = conv(channels, hidden, 1, 1, 1).add(&mut net, &y);
                y = relu6(&mut net, &y);
            }
            y = conv(hidden, hidden, 3, stride, hidden).add(&mut net, &y);
            y = relu6(&mut net, &y);
            y = conv(hidden, to, 1, 1, 1).add(&mut net, &y);
            x = if stride == 1 && channels == to {
                net.node("Add", &[&x, &y], &[])
            } else {
                y
            };
            channels = to;
        }
    }
    x = conv(channels, 1280, 1, 1, 1).add(&mut net, &x);
    x = relu6(&mut net, &x);
    head(&mut net, &x, 1280);
    net.write(path, INPUT, OUTPUT)
        .with_context(|| format!("cannot write {}", path.display()))
}
