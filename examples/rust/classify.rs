//! Tells what a picture shows.
//!
//! ```text
//! VACCEL_PLUGINS=onnx VACCEL_MODELS=models cargo run -p vaccel --example classify -- picture.jpg
//! VACCEL_PLUGINS=onnx cargo run -p vaccel --example classify -- picture.jpg models/classify
//! ```

use vaccel::{Resource, ResourceType, Session};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let picture = arguments.next().ok_or("usage: classify PICTURE [MODEL]")?;
    let image = std::fs::read(&picture).map_err(|e| format!("cannot read {picture}: {e}"))?;

    let session = Session::new()?;
    // Without a model of its own, the session uses the plugin's default.
    let model = arguments
        .next()
        .map(|path| Resource::open(path, ResourceType::Model))
        .transpose()?;
    if let Some(model) = &model {
        model.register(&session)?;
    }
    println!("{}", session.image_classify(&image)?.text.trim_end());
    Ok(())
}
