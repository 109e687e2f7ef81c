//! Which kernel serves an operation, and what its parameters are: `vadd(a, b, c, n)`.

use crate::wire::Argument;
use vaccel_plugin::{Result, bail, err};

/// A kernel, and how an operation calls it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mapping {
    /// Its name as XRT knows it, `vadd` or `vadd:{vadd_1}` for one compute unit.
    pub(crate) kernel: String,
    /// Its parameters in order.
    pub(crate) parameters: Vec<Parameter>,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Parameter {
    /// The array of the operation with this place among its arrays.
    Array(usize),
    /// The number of elements, or of rows.
    Size(Width),
    /// Always the same.
    Constant(Argument),
}

/// Bits of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Word,
    Long,
}

impl Width {
    fn of(self, value: u64) -> Result<Argument> {
        match self {
            Self::Long => Ok(Argument::Long(value)),
            Self::Word => match u32::try_from(value) {
                Ok(value) => Ok(Argument::Word(value)),
                Err(_) => bail!(ERANGE, "{value} does not fit into 32 bits; say `:u64`"),
            },
        }
    }
}

impl Mapping {
    /// Reads `kernel(word, ...)`: a word is one of `arrays`, `n`, or a number, and the last two
    /// may say how wide they are, `n:u64`; they are `u32` else.
    pub(crate) fn parse(text: &str, arrays: &[&str]) -> Result<Self> {
        let wrong = || {
            err!(
                EINVAL,
                "`{text}` is no call of a kernel such as `kernel({}, n)`",
                arrays.join(", ")
            )
        };
        let (kernel, rest) = text.trim().rsplit_once('(').ok_or_else(wrong)?;
        let words = rest.strip_suffix(')').ok_or_else(wrong)?;
        let kernel = kernel.trim();
        if kernel.is_empty() {
            return Err(wrong());
        }
        let parameters = words
            .split(',')
            .map(|word| parameter(word.trim(), arrays))
            .collect::<Result<Vec<_>>>()
            .map_err(|error| error.context(format_args!("`{text}`")))?;
        for (at, name) in arrays.iter().enumerate() {
            let times = parameters.iter().filter(|p| **p == Parameter::Array(at));
            if times.count() != 1 {
                bail!(EINVAL, "`{text}`: `{name}` has to be there once");
            }
        }
        Ok(Self {
            kernel: kernel.to_owned(),
            parameters,
        })
    }

    /// The arguments of a call with these arrays, and `n`.
    pub(crate) fn arguments(&self, arrays: &[Argument], n: usize) -> Result<Vec<Argument>> {
        let argument = |parameter: &Parameter| match *parameter {
            Parameter::Array(at) => Ok(arrays[at]),
            Parameter::Size(width) => width.of(n as u64),
            Parameter::Constant(value) => Ok(value),
        };
        self.parameters.iter().map(argument).collect()
    }
}

fn parameter(word: &str, arrays: &[&str]) -> Result<Parameter> {
    if let Some(at) = arrays.iter().position(|name| *name == word) {
        return Ok(Parameter::Array(at));
    }
    let (value, width) = match word.split_once(':') {
        None | Some((_, "u32")) => (word.split(':').next().unwrap_or(word), Width::Word),
        Some((value, "u64")) => (value, Width::Long),
        Some((_, other)) => bail!(EINVAL, "`{other}` is no width; there are: u32, u64"),
    };
    if value == "n" {
        return Ok(Parameter::Size(width));
    }
    match value.parse() {
        Ok(number) => width.of(number).map(Parameter::Constant),
        Err(_) => bail!(
            EINVAL,
            "`{word}` is no parameter; there are: {}, n, numbers",
            arrays.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ARRAYS: &[&str] = &["a", "b", "c"];

    #[test]
    fn calls_say_their_kernel_and_its_parameters() {
        let mapping = Mapping::parse(" vadd:{vadd_1}(c, a,b, n:u64, 16) ", ARRAYS).unwrap();
        assert_eq!(mapping.kernel, "vadd:{vadd_1}");
        let arrays = [10, 20, 30].map(Argument::Long);
        let given = mapping.arguments(&arrays, 5).unwrap();
        assert_eq!(
            given,
            [
                Argument::Long(30),
                Argument::Long(10),
                Argument::Long(20),
                Argument::Long(5),
                Argument::Word(16)
            ]
        );
    }

    #[test]
    fn wrong_calls_are_refused_with_the_word_that_is_wrong() {
        for (text, said) in [
            ("vadd", "is no call"),
            ("(a, b, c)", "is no call"),
            ("vadd(a, b, c", "is no call"),
            ("vadd(a, b)", "`c` has to be there once"),
            ("vadd(a, a, b, c)", "`a` has to be there once"),
            ("vadd(a, b, c, m)", "`m` is no parameter"),
            ("vadd(a, b, c, n:u8)", "`u8` is no width"),
            ("vadd(a, b, c, 4294967296)", "does not fit"),
        ] {
            let error = Mapping::parse(text, ARRAYS).unwrap_err();
            assert!(error.message().contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_size_beyond_its_width_is_refused() {
        let mapping = Mapping::parse("k(a, n)", &["a"]).unwrap();
        if let Ok(large) = usize::try_from(1_u64 << 32) {
            assert!(mapping.arguments(&[Argument::Word(0)], large).is_err());
        }
    }
}
