//! Which calls are made again when the connection breaks under them.

use vaccel_plugin::abi::op;

/// What the environment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// A call whose connection breaks fails.
    Never,
    /// One that changes nothing at the agent is made again, so many times.
    Idempotent(u32),
}

impl Retry {
    /// How often an operation may be made again.
    pub(crate) fn times(self, code: u32) -> u32 {
        match self {
            Self::Idempotent(times) if is_idempotent(code) => times,
            _ => 0,
        }
    }
}

/// True for operations whose answer depends on their arguments alone, and that
/// change none of them. (sgemm reads what it writes; functions of libraries and
/// TensorFlow's models may do anything.)
fn is_idempotent(code: u32) -> bool {
    matches!(
        code,
        op::OP_NOOP
            | op::OP_IMAGE_CLASSIFY
            | op::OP_IMAGE_DETECT
            | op::OP_IMAGE_SEGMENT
            | op::OP_IMAGE_POSE
            | op::OP_IMAGE_DEPTH
            | op::OP_MODEL_LOAD
            | op::OP_MODEL_RUN
            | op::OP_MODEL_INFO
            | op::OP_TFLITE_MODEL_LOAD
            | op::OP_TFLITE_MODEL_RUN
            | op::OP_TORCH_MODEL_LOAD
            | op::OP_TORCH_MODEL_RUN
            | op::OP_TORCH_SGEMM
            | op::OP_MINMAX
            | op::OP_FPGA_ARRAYCOPY
            | op::OP_FPGA_MMULT
            | op::OP_FPGA_PARALLEL
            | op::OP_FPGA_VECTORADD
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_is_made_again() {
        let retry = Retry::Idempotent(3);
        assert_eq!(retry.times(op::OP_MODEL_RUN), 3);
        for code in [
            op::OP_EXEC,
            op::OP_BLAS_SGEMM,
            op::OP_TF_MODEL_RUN,
            op::OP_OPENCV,
        ] {
            assert_eq!(retry.times(code), 0);
        }
        assert_eq!(Retry::Never.times(op::OP_NOOP), 0);
    }
}
