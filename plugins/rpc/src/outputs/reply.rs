//! A reply is checked against what was asked for, output by output.

use super::{OutputList, STATUS_MESSAGE, What};
use vaccel_plugin::abi::arg::name as type_name;
use vaccel_plugin::abi::error::ERANGE;
use vaccel_transport::{Destination, Outputs, PlaceError};
use vaccel_wire::{Arg, Args, TENSOR};

impl Outputs for OutputList {
    fn place(&mut self, arg: &Arg<'_>) -> std::result::Result<Destination, PlaceError> {
        let Some(output) = self.list.get_mut(arg.index) else {
            return Err(format!("output {} was not asked for", arg.index).into());
        };
        if arg.type_ != output.type_ {
            let wanted = if output.type_ == TENSOR {
                "a tensor"
            } else {
                type_name(output.type_)
            };
            let found = arg.type_name();
            return Err(format!("output {} is {found}, not {wanted}", arg.index).into());
        }
        if arg.kept.is_some() && !matches!(output.what, What::Kept(_)) {
            let text = format!("output {} was not to be kept", arg.index);
            return Err(text.into());
        }
        if arg.shared.is_some() && output.lent.is_none() {
            let text = format!("output {} was not lent shared memory", arg.index);
            return Err(text.into());
        }
        if arg.is_null() {
            let unwanted = match output.what {
                What::Null => true,
                What::Memory { room, exact, .. } => room == 0 || !exact,
                // SAFETY: valid until the call is over.
                What::Argument(at) => unsafe { at.read() }.size == 0,
                _ => false,
            };
            if unwanted {
                return Ok(Destination::none());
            }
            return Err(format!("output {} is missing", arg.index).into());
        }
        let (at, room) = match output.what {
            What::StatusCode => (&raw mut self.status_code, 1),
            What::StatusMessage => {
                self.status_message.fill(0);
                (self.status_message.as_mut_ptr(), STATUS_MESSAGE)
            }
            What::Collected(to) => {
                // SAFETY: valid until the call is over, and used by nobody else.
                let to = unsafe { &mut *to };
                to.clear();
                if to.try_reserve_exact(arg.size).is_err() {
                    return Err(PlaceError::NoMemory(arg.size));
                }
                to.resize(arg.size, 0);
                (to.as_mut_ptr(), arg.size)
            }
            _ => {
                let (at, room) = output.place(arg)?;
                if let Some(place) = arg.shared {
                    output.written_at(place, arg, at, room)?;
                }
                (at, room)
            }
        };
        // SAFETY: memory of the caller's, which C promises to be valid until the
        // call is over, or of this list's, which does not move meanwhile.
        Ok(unsafe { Destination::new(at, room) })
    }

    fn takes_shared(&self) -> bool {
        true
    }

    fn takes_kept(&self) -> bool {
        true
    }

    fn failed(&mut self, status: i32, args: &Args<'_>, payload: &[u8]) {
        for arg in args.writes() {
            let Some(output) = self.list.get_mut(arg.index) else {
                return;
            };
            match output.what {
                // A size that makes no sense is worth as little as none: then
                // nothing is noted.
                What::Tensor(_) if status == ERANGE && arg.flags == 0 => {
                    let _ = output.shape_of(&arg);
                }
                What::StatusCode if arg.has_data() => {
                    if let [code] = arg.bytes(payload) {
                        self.status_code = *code;
                    }
                }
                What::StatusMessage if arg.has_data() => {
                    let bytes = arg.bytes(payload);
                    let n = bytes.len().min(STATUS_MESSAGE - 1);
                    self.status_message[..n].copy_from_slice(&bytes[..n]);
                    self.status_message[n] = 0;
                }
                _ => {}
            }
        }
    }
}
