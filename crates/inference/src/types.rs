//! Types of elements by the numbers of a runtime.

use vaccel_plugin::{Dtype, Result, bail};

use crate::port::Port;

/// Which numbers a runtime has for types of elements.
#[derive(Debug, Clone, Copy)]
pub struct Types {
    /// Its number for each type of ours that it has.
    pub known: &'static [(i32, Dtype)],
    /// What errors call a type that no tensor of ours has, by its number.
    pub other: fn(i32) -> &'static str,
}

impl Types {
    /// Our type of a number; `None` where no tensor of ours has it.
    #[must_use]
    pub fn ours(&self, number: i32) -> Option<Dtype> {
        let found = self.known.iter().find(|(theirs, _)| *theirs == number);
        found.map(|(_, ours)| *ours)
    }

    /// The number of our type; `None` where the runtime has no such type.
    #[must_use]
    pub fn theirs(&self, dtype: Dtype) -> Option<i32> {
        let found = self.known.iter().find(|(_, ours)| *ours == dtype);
        found.map(|(theirs, _)| *theirs)
    }

    /// The type of an output that a run has given.
    ///
    /// # Errors
    /// `ENOTSUP` where no tensor of ours has it.
    pub fn of_output(&self, name: &str, number: i32) -> Result<Dtype> {
        match self.ours(number) {
            Some(dtype) => Ok(dtype),
            None => bail!(
                ENOTSUP,
                "output `{name}` is {}, which no tensor holds; ask for the others by name",
                (self.other)(number)
            ),
        }
    }

    /// An input or output of a model, its lengths as [`Port::dims`] has them.
    ///
    /// # Errors
    /// `ENOTSUP` for an input whose type no tensor of ours has, and for too many dimensions.
    pub fn port(
        &self,
        name: String,
        number: i32,
        dims: Option<Vec<Option<usize>>>,
        is_input: bool,
    ) -> Result<Port> {
        let dtype = self.ours(number);
        if is_input && dtype.is_none() {
            bail!(
                ENOTSUP,
                "input `{name}` is {}, which no tensor holds",
                (self.other)(number)
            );
        }
        let port = Port {
            name,
            dtype,
            type_name: dtype
                .map_or_else(|| (self.other)(number), Dtype::name)
                .into(),
            dims,
            symbols: Vec::new(),
            optional: false,
        };
        port.check_rank()?;
        Ok(port)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use vaccel_plugin::code;

    const TYPES: Types = Types {
        known: &[(1, Dtype::F32), (9, Dtype::I64)],
        other: |number| match number {
            7 => "string",
            _ => "of another type",
        },
    };

    #[test]
    fn numbers_and_types_lead_to_each_other() {
        for (number, dtype) in TYPES.known {
            assert_eq!(TYPES.ours(*number), Some(*dtype));
            assert_eq!(TYPES.theirs(*dtype), Some(*number));
        }
        assert_eq!((TYPES.ours(7), TYPES.theirs(Dtype::U8)), (None, None));
    }

    #[test]
    fn a_port_has_the_type_of_its_number_and_no_more_dimensions_than_a_tensor() {
        let dims = Some(vec![None, Some(4)]);
        let port = TYPES.port("x".into(), 9, dims.clone(), true).unwrap();
        assert_eq!((port.dtype, &*port.type_name), (Some(Dtype::I64), "i64"));
        assert_eq!(port.dims, dims);
        let many = Some(vec![Some(1); 65]);
        assert!(TYPES.port("x".into(), 1, many, true).is_err());
    }

    #[test]
    fn types_that_no_tensor_has_are_named_where_they_are_in_the_way() {
        let error = TYPES.port("x".into(), 7, None, true).unwrap_err();
        assert_eq!(error.code(), code::ENOTSUP);
        assert_eq!(
            error.message(),
            "input `x` is string, which no tensor holds"
        );
        // An output need not be asked for.
        let port = TYPES.port("y".into(), 7, None, false).unwrap();
        assert_eq!((port.dtype, &*port.type_name), (None, "string"));
        let error = TYPES.of_output("y", 5).unwrap_err();
        assert!(
            error.message().contains("`y` is of another type"),
            "{error}"
        );
    }
}
