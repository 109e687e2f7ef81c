//! Runs a model on arrays of NumPy and writes its outputs the same way.
//!
//! ```text
//! VACCEL_PLUGINS=onnx cargo run -p vaccel --example model -- model.onnx            # what it takes
//! VACCEL_PLUGINS=onnx cargo run -p vaccel --example model -- model.onnx input=x.npy
//! ```
//!
//! Outputs are written to `NAME.npy` in the current folder.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use vaccel::{Model, Resource, ResourceType, Session, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: model MODEL [NAME=FILE.npy]...")?;

    let session = Session::new()?;
    let resource = Resource::open(&path, ResourceType::Model)?;
    let model = Model::load(&session, &resource, "")?;
    let info = model.info()?;

    let arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        println!("{} model, run by {}", info.format, info.backend);
        for (what, list) in [("in ", &info.inputs), ("out", &info.outputs)] {
            for tensor in list {
                let dtype = tensor.dtype.map_or("?", |dtype| dtype.name());
                println!("{what} {}: {dtype} {:?}", tensor.name, tensor.shape);
            }
        }
        return Ok(());
    }

    let mut inputs = Vec::new();
    for argument in &arguments {
        let (name, file) = argument
            .split_once('=')
            .ok_or_else(|| format!("{argument:?} is not NAME=FILE.npy"))?;
        let file = File::open(file).map_err(|e| format!("cannot open {file}: {e}"))?;
        inputs.push((name, Tensor::read_npy(BufReader::new(file))?));
    }
    for (tensor, info) in model.run(&inputs)?.iter().zip(&info.outputs) {
        // A name may hold slashes; a file name may not.
        let file = format!("{}.npy", info.name.replace('/', "_"));
        tensor.write_npy(BufWriter::new(File::create(&file)?))?;
        println!("{file}: {} {:?}", tensor.dtype(), tensor.shape());
    }
    Ok(())
}
