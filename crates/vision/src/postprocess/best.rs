//! The best of several planes at each place.

/// Places that are looked at together; their scores stay in the nearest cache.
const BLOCK: usize = 2048;

/// For each of `n` places the highest value over all planes, and the number of its plane.
///
/// `planes` are `n` values each, one plane after the other. NaN is never the highest; where
/// a place has nothing but NaN and negative infinity, the value is negative infinity.
pub(super) fn over_planes(planes: &[f32], n: usize) -> (Vec<f32>, Vec<u32>) {
    let mut scores = vec![f32::NEG_INFINITY; n];
    let mut winners = vec![0_u32; n];
    let blocks = scores.chunks_mut(BLOCK).zip(winners.chunks_mut(BLOCK));
    for (block, (scores, winners)) in blocks.enumerate() {
        let start = block * BLOCK;
        for (number, plane) in (0..).zip(planes.chunks_exact(n)) {
            let values = &plane[start..start + scores.len()];
            for ((score, winner), &value) in scores.iter_mut().zip(winners.iter_mut()).zip(values) {
                // Written without a branch, else the loop does not run on vectors.
                let better = 0_u32.wrapping_sub(u32::from(value > *score));
                *winner ^= (*winner ^ number) & better;
                *score = score.max(value); // of NaN and a number, the number
            }
        }
    }
    (scores, winners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_value_wins_and_the_first_of_equals() {
        let n = BLOCK * 2 + 7;
        let value = |plane: usize, at: usize| ((plane * 31 + at * 17) % 23) as f32;
        let mut planes: Vec<f32> = (0..5)
            .flat_map(|p| (0..n).map(move |at| value(p, at)))
            .collect();
        (0..5).for_each(|plane| planes[plane * n + 3] = f32::NAN);
        planes[4] = f32::NAN;
        let (scores, winners) = over_planes(&planes, n);
        for at in (0..n).filter(|&at| at != 3) {
            let first = usize::from(at == 4);
            let want = (first..5)
                .rev()
                .max_by(|&a, &b| value(a, at).total_cmp(&value(b, at)));
            assert_eq!(Some(winners[at] as usize), want, "{at}");
            assert_eq!(scores[at], value(winners[at] as usize, at));
        }
        assert_eq!((scores[3], winners[3]), (f32::NEG_INFINITY, 0));
    }
}
