//! Scores of classes.

use super::{Scene, label};
use crate::error::{Error, Result};
use crate::result::{Class, Findings};
use crate::tensor::TensorView;

/// Reads `[1, C]`; other dimensions of 1 do not matter. Scores that are not finite are left out.
pub(super) fn read(scene: &Scene<'_>, tensor: TensorView<'_>, softmax: bool) -> Result<Findings> {
    let scores = scene.floats(tensor)?;
    if tensor.shape.iter().filter(|&&dim| dim != 1).count() > 1 {
        return Err(scene.shape_error(tensor, "[1, C] or [1, C, 1, 1]"));
    }
    let names = scene.names(Some(scores.len()), false)?;
    let finite = scores
        .iter()
        .copied()
        .enumerate()
        .filter(|(_, score)| score.is_finite());
    let mut ranked: Vec<(usize, f32)> = finite.collect();
    if ranked.is_empty() {
        return Err(Error::NotFinite {
            tensor: tensor.name.to_owned(),
        });
    }
    // A stable sort: of equal scores the lower number comes first.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    if softmax {
        let top = f64::from(ranked[0].1);
        let power = |score: f32| (f64::from(score) - top).exp();
        let sum: f64 = ranked.iter().map(|&(_, score)| power(score)).sum();
        ranked
            .iter_mut()
            .for_each(|(_, score)| *score = (power(*score) / sum) as f32);
    }
    ranked.truncate(scene.description.output.top_k);
    let class = |(index, score)| Class {
        index,
        label: label(&names, index),
        score,
    };
    Ok(Findings::Classify {
        classes: ranked.into_iter().map(class).collect(),
    })
}
