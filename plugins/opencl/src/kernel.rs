//! Kernels of the caller's own: a program as a resource, called like a function.

use crate::context::{Context, Parameter, Setting};
use std::ffi::CStr;
use vaccel_plugin::device::Pieces;
use vaccel_plugin::{Args, ArgsMut, Result, bail, err};

/// The compiler must keep what the parameters are: they are checked before each call.
const OPTIONS: &CStr = c"-cl-kernel-arg-info";

/// Calls a kernel of a program.
///
/// The first argument that is read holds the numbers of work items, as u64: one to three
/// of them, or two or three followed by as many of a work group. The kernel's parameters
/// are the other arguments that are read, then those that are written, in this order.
/// A parameter in global or constant memory gets a copy of its argument on the device,
/// one by value its bytes, one in local memory so many bytes as its argument says (u64).
/// Arguments that are written come back from the device whole.
pub(crate) fn call(
    context: &mut Context,
    program: &[u8],
    name: &CStr,
    read: &Args<'_>,
    write: &mut ArgsMut<'_>,
) -> Result<()> {
    let sizes = read
        .slice::<u64>(0)
        .map_err(|error| error.context("the numbers of work items"))?;
    let (global, local) = work(sizes)?;
    let kernel = context.kernel(program, OPTIONS, name)?;
    let parameters = context.parameters(kernel)?;
    let inputs = read.len() - 1;
    if parameters.len() != inputs + write.len() {
        bail!(
            EINVAL,
            "the kernel `{}` has {} parameters, but {inputs} arguments are read and {} written beside the numbers of work items",
            name.to_string_lossy(),
            parameters.len(),
            write.len()
        );
    }
    let mut pieces = Pieces::new(context);
    // What is read back when the kernel has run.
    let mut outputs = Vec::with_capacity(write.len());
    let mut settings = Vec::with_capacity(parameters.len());
    for (i, parameter) in parameters.iter().enumerate() {
        if i >= inputs {
            let bytes = write.bytes_mut(i - inputs)?;
            if *parameter != Parameter::Memory {
                bail!(
                    EINVAL,
                    "parameter {i} of the kernel is no memory that it could write to"
                );
            }
            let at = pieces.with(&*bytes)?;
            outputs.push(at);
            settings.push(Setting::Memory(pieces.handle(at)));
            continue;
        }
        settings.push(match parameter {
            Parameter::Memory => {
                let at = pieces.with(read.bytes(i + 1)?)?;
                Setting::Memory(pieces.handle(at))
            }
            Parameter::Local => {
                let size = usize::try_from(read.scalar::<u64>(i + 1)?);
                Setting::Local(size.map_err(|_| err!(ERANGE, "local memory of parameter {i}"))?)
            }
            Parameter::Value => Setting::Value(read.bytes(i + 1)?),
        });
    }
    pieces.device().launch(kernel, &settings, &global, &local)?;
    for (i, at) in outputs.into_iter().enumerate() {
        pieces.read(at, write.bytes_mut(i)?)?;
    }
    Ok(())
}

/// Work items of each dimension, and those of a work group where they are given.
fn work(sizes: &[u64]) -> Result<(Vec<usize>, Vec<usize>)> {
    let sizes: Vec<usize> = sizes
        .iter()
        .map(|&size| match usize::try_from(size) {
            Ok(size) if size > 0 => Ok(size),
            _ => bail!(EINVAL, "{size} work items"),
        })
        .collect::<Result<_>>()?;
    match sizes.len() {
        1..=3 => Ok((sizes, Vec::new())),
        count @ (4 | 6) => {
            let (global, local) = sizes.split_at(count / 2);
            Ok((global.to_vec(), local.to_vec()))
        }
        count => bail!(
            EINVAL,
            "{count} numbers of work items; there are 1 to 3, or 4 or 6 with those of a work group"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_of_work_items_are_one_to_three_or_with_a_group() {
        assert_eq!(work(&[5]).unwrap(), (vec![5], vec![]));
        assert_eq!(work(&[5, 6, 7]).unwrap(), (vec![5, 6, 7], vec![]));
        assert_eq!(work(&[8, 4, 2, 1]).unwrap(), (vec![8, 4], vec![2, 1]));
        for wrong in [&[][..], &[0], &[1, 1, 1, 1, 1], &[1; 7]] {
            assert!(work(wrong).is_err(), "{wrong:?}");
        }
    }
}
