//! Element types whose numbers differ from those of the C interface.

/// The C number of a TFLite element type, from its number in a message.
///
/// Messages have the C number plus one. `None` for 0, which is unused, and for
/// negative numbers.
#[must_use]
pub fn tflite_from_wire(number: i32) -> Option<u32> {
    u32::try_from(number).ok()?.checked_sub(1)
}

/// The number of a TFLite element type in a message, from its C number.
///
/// `None` when there is no such number.
#[must_use]
pub fn tflite_to_wire(number: u32) -> Option<i32> {
    i32::try_from(number.checked_add(1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tflite_type_is_one_more_in_messages_than_in_c() {
        assert_eq!(tflite_from_wire(2), Some(1));
        assert_eq!(tflite_to_wire(1), Some(2));
        assert_eq!(tflite_from_wire(1), Some(0));
    }

    #[test]
    fn numbers_that_cannot_be_types_are_none() {
        for number in [0, -1, i32::MIN] {
            assert_eq!(tflite_from_wire(number), None, "{number}");
        }
        assert_eq!(tflite_to_wire(u32::MAX), None);
        assert_eq!(tflite_to_wire(i32::MAX.unsigned_abs()), None);
    }
}
