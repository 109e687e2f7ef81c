//! Looks for bytes of other tenants in everything that a client receives.

/// Bytes of a marker.
const LEN: usize = 16;

/// The bytes that all data of a tenant is made of.
#[must_use]
pub fn marker(tenant: usize) -> [u8; LEN] {
    // Far apart: no mutation of one tenant's marker is another's.
    let mut random = super::Random(0x6d61_726b + tenant as u64);
    let mut mark = [b'<'; LEN];
    mark[1..9].copy_from_slice(&random.number().to_le_bytes());
    mark[8..].copy_from_slice(&random.number().to_le_bytes());
    mark
}

/// Looks for markers of others in a stream of bytes, however it is cut.
#[derive(Debug)]
pub struct Scanner {
    foreign: Vec<[u8; LEN]>,
    /// The last bytes, in which a marker may have begun.
    tail: Vec<u8>,
    /// Bytes that have been searched.
    pub searched: u64,
    /// Markers of others that were found.
    pub found: u64,
}

impl Scanner {
    /// Searches what `tenant` of `tenants` receives.
    #[must_use]
    pub fn new(tenant: usize, tenants: usize) -> Self {
        let others = (0..tenants).filter(|other| *other != tenant);
        // What `transform` makes of the data is the tenant's own just as well.
        let foreign = others.flat_map(|other| [marker(other), marker(other).map(|b| b ^ 0x5a)]);
        Self {
            foreign: foreign.collect(),
            tail: Vec::new(),
            searched: 0,
            found: 0,
        }
    }

    /// Searches the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        self.searched += bytes.len() as u64;
        self.tail.extend_from_slice(bytes);
        let mut at = 0;
        while at + LEN <= self.tail.len() {
            let window = &self.tail[at..at + LEN];
            // Half of a marker tells enough: what is read may have been overwritten in part.
            let hit = |mark: &[u8; LEN]| window[..LEN / 2 + 2] == mark[..LEN / 2 + 2];
            if matches!(window[0], b'<' | 0x66) && self.foreign.iter().any(hit) {
                self.found += 1;
            }
            at += 1;
        }
        self.tail.drain(..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_others_are_found_however_the_bytes_are_cut_and_own_ones_are_not() {
        for cut in 1..40 {
            let mut scanner = Scanner::new(0, 3);
            let bytes = [&[b'<'; 5][..], &marker(0), b"..", &marker(2), b"<"].concat();
            bytes.chunks(cut).for_each(|piece| scanner.take(piece));
            scanner.take(&[0; LEN]);
            assert_eq!(scanner.found, 1, "in pieces of {cut}");
        }
    }

    #[test]
    fn results_computed_from_anothers_data_are_found() {
        let mut scanner = Scanner::new(0, 2);
        scanner.take(&marker(1).map(|b| b ^ 0x5a));
        assert_eq!(scanner.found, 1);
    }
}
