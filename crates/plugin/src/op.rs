//! The operations a plugin can offer.

use vaccel_abi::op::{self, OpType};
use vaccel_abi::table;

macro_rules! ops {
    ($($name:ident = $code:ident;)*) => {
        /// An operation of the fixed table: one for each function that an
        /// application can call. The value is its code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum Op {
            $(#[doc = concat!("`", stringify!($code), "`.")] $name = op::$code,)*
        }

        impl Op {
            /// All of them, by code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

ops! {
    Noop = OP_NOOP;
    Exec = OP_EXEC;
    ExecWithResource = OP_EXEC_WITH_RESOURCE;
    ImageClassify = OP_IMAGE_CLASSIFY;
    ImageDetect = OP_IMAGE_DETECT;
    ImageSegment = OP_IMAGE_SEGMENT;
    ImagePose = OP_IMAGE_POSE;
    ImageDepth = OP_IMAGE_DEPTH;
    TfModelLoad = OP_TF_MODEL_LOAD;
    TfModelUnload = OP_TF_MODEL_UNLOAD;
    TfModelRun = OP_TF_MODEL_RUN;
    TfliteModelLoad = OP_TFLITE_MODEL_LOAD;
    TfliteModelUnload = OP_TFLITE_MODEL_UNLOAD;
    TfliteModelRun = OP_TFLITE_MODEL_RUN;
    TorchModelLoad = OP_TORCH_MODEL_LOAD;
    TorchModelRun = OP_TORCH_MODEL_RUN;
    TorchSgemm = OP_TORCH_SGEMM;
    Sgemm = OP_BLAS_SGEMM;
    FpgaArraycopy = OP_FPGA_ARRAYCOPY;
    FpgaMmult = OP_FPGA_MMULT;
    FpgaParallel = OP_FPGA_PARALLEL;
    FpgaVectoradd = OP_FPGA_VECTORADD;
    Minmax = OP_MINMAX;
    Opencv = OP_OPENCV;
}

impl Op {
    /// Its code.
    #[must_use]
    pub const fn code(self) -> OpType {
        self as OpType
    }

    /// Its lower-case name, for example `image_classify`.
    #[must_use]
    pub fn name(self) -> &'static str {
        table::find(self.code()).map_or("unknown", |spec| spec.name)
    }

    /// True when `ops` holds it.
    #[must_use]
    pub const fn is_in(self, ops: &[Self]) -> bool {
        let mut i = 0;
        while i < ops.len() {
            if ops[i] as OpType == self as OpType {
                return true;
            }
            i += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_fixed_table_has_its_operation() {
        assert_eq!(Op::ALL.len(), op::OP_MAX as usize);
        for (i, op) in Op::ALL.iter().enumerate() {
            assert_eq!(op.code() as usize, i);
            assert_ne!(op.name(), "unknown");
        }
    }
}
