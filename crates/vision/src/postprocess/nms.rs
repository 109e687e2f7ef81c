//! Non-maximum suppression.

use crate::geometry::Edges;

/// Of more boxes than this only the best are looked at, as Ultralytics does.
const MAX_CANDIDATES: usize = 30_000;

/// A box that may be an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    /// In pixels of the input tensor.
    pub(super) edges: Edges,
    pub(super) class: usize,
    pub(super) score: f32,
    /// Where in the tensor it came from.
    pub(super) row: usize,
}

/// Sorts by score, best first; of equal scores the earlier row comes first.
pub(super) fn sort(candidates: &mut [Candidate]) {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
}

/// Keeps the best box of each heap of boxes of one class, and at most `keep` boxes.
///
/// A box goes when it overlaps a kept one of its class by more than `threshold`
/// (intersection over union).
pub(super) fn suppress(
    mut candidates: Vec<Candidate>,
    threshold: f32,
    keep: usize,
) -> Vec<Candidate> {
    sort(&mut candidates);
    candidates.truncate(MAX_CANDIDATES);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() == keep {
            break;
        }
        let hides = |better: &Candidate| {
            better.class == candidate.class && better.edges.overlap(&candidate.edges) > threshold
        };
        if !kept.iter().any(hides) {
            kept.push(candidate);
        }
    }
    kept
}
