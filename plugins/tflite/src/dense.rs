//! Finds dense layers with a scale for each channel, which old runtimes compute wrongly.
//!
//! TensorFlow Lite 2.9 takes the first channel's scale for all of them and says nothing: a
//! wrong answer that nobody would notice. TensorFlow's converter writes such layers.

/// `FULLY_CONNECTED` among the built-in operators.
const FULLY_CONNECTED: i32 = 9;

/// True when a dense layer of the model has weights of 8 bit with several scales. A file that
/// is no sound flat buffer has none: the runtime says what is wrong with it.
pub(crate) fn has_scales_per_channel(model: &[u8]) -> bool {
    find(model).unwrap_or(false)
}

/// A table of a flat buffer: the whole, and where the table begins.
#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8], usize);

/// A vector of a flat buffer: where its elements begin, and how many there are.
#[derive(Clone, Copy)]
struct Vector<'a> {
    all: &'a [u8],
    begin: usize,
    length: usize,
}

fn u32_at(all: &[u8], at: usize) -> Option<usize> {
    let bytes = all.get(at..at.checked_add(4)?)?;
    usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
}

fn i32_at(all: &[u8], at: usize) -> Option<i32> {
    let bytes = all.get(at..at.checked_add(4)?)?;
    Some(i32::from_le_bytes(bytes.try_into().ok()?))
}

fn u16_at(all: &[u8], at: usize) -> Option<usize> {
    let bytes = all.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

impl<'a> Table<'a> {
    /// The table that is pointed to from `at`.
    fn at(all: &'a [u8], at: usize) -> Option<Self> {
        Some(Self(all, at.checked_add(u32_at(all, at)?)?))
    }

    /// Where a field is; `None` where it has its default.
    fn field(self, number: usize) -> Option<usize> {
        let Self(all, table) = self;
        let back = i64::from(i32_at(all, table)?);
        let slots = usize::try_from(i64::try_from(table).ok()? - back).ok()?;
        let slot = 4 + 2 * number;
        if slot + 2 > u16_at(all, slots)? {
            return None;
        }
        match u16_at(all, slots.checked_add(slot)?)? {
            0 => None,
            offset => table.checked_add(offset),
        }
    }

    fn table(self, number: usize) -> Option<Self> {
        Self::at(self.0, self.field(number)?)
    }

    fn vector(self, number: usize) -> Option<Vector<'a>> {
        let at = self.field(number)?;
        let start = at.checked_add(u32_at(self.0, at)?)?;
        Some(Vector {
            all: self.0,
            begin: start.checked_add(4)?,
            length: u32_at(self.0, start)?,
        })
    }
}

impl<'a> Vector<'a> {
    /// Where an element of four bytes is.
    fn place(self, at: usize) -> Option<usize> {
        let inside = at < self.length;
        inside.then(|| self.begin.checked_add(at.checked_mul(4)?))?
    }

    fn table(self, at: usize) -> Option<Table<'a>> {
        Table::at(self.all, self.place(at)?)
    }

    /// Its tables; it ends where the file does, whatever length the vector says.
    fn tables(self) -> impl Iterator<Item = Table<'a>> {
        (0..self.length).map_while(move |at| self.table(at))
    }
}

fn find(model: &[u8]) -> Option<bool> {
    let root = Table::at(model, 0)?;
    // operator_codes = 1: deprecated_builtin_code = 0 (a byte), builtin_code = 3.
    let codes = root.vector(1)?;
    let is_dense = |code: Table<'_>| {
        let old = code.field(0).and_then(|at| model.get(at).copied());
        let new = code.field(3).and_then(|at| i32_at(model, at));
        new.unwrap_or(0).max(i32::from(old.unwrap_or(0))) == FULLY_CONNECTED
    };
    let dense: Vec<bool> = codes.tables().map(is_dense).collect();
    // subgraphs = 2: tensors = 0, operators = 3.
    for graph in root.vector(2)?.tables() {
        let (Some(tensors), Some(operators)) = (graph.vector(0), graph.vector(3)) else {
            continue;
        };
        for operator in operators.tables() {
            // opcode_index = 0, inputs = 1: data, weights, bias.
            let code = operator.field(0).map_or(Some(0), |at| u32_at(model, at));
            if code.and_then(|code| dense.get(code)) != Some(&true) {
                continue;
            }
            let scales = || {
                let weights = u32_at(model, operator.vector(1)?.place(1)?)?;
                // quantization = 4: scale = 2.
                Some(tensors.table(weights)?.table(4)?.vector(2)?.length)
            };
            if scales().unwrap_or(0) > 1 {
                return Some(true);
            }
        }
    }
    Some(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(path: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
    }

    #[test]
    fn only_dense_layers_with_several_scales_are_found() {
        assert!(has_scales_per_channel(&read(
            "tests/data/per-channel-dense.tflite"
        )));
        // Its convolutions have a scale for each channel, its dense layer has not.
        let sound = "../../models/digits-8x8/tflite-int8/model.tflite";
        assert!(!has_scales_per_channel(&read(sound)));
        assert!(!has_scales_per_channel(&read(
            "../../models/digits-8x8/tflite/model.tflite"
        )));
    }

    #[test]
    fn no_damage_makes_it_panic_or_run_on() {
        let model = read("tests/data/per-channel-dense.tflite");
        for length in 0..400 {
            has_scales_per_channel(&model[..length]);
        }
        for at in 0..model.len().min(4000) {
            let mut damaged = model.clone();
            damaged[at] ^= 0xff;
            has_scales_per_channel(&damaged);
        }
        assert!(!has_scales_per_channel(&[0xff; 64]));
    }
}
