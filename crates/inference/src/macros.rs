//! From an engine to a plugin.

/// Makes the plugin of an engine: its models, its image operations, what the library
/// looks for. `extra` are operations of the framework that its models serve as well.
///
/// ```ignore
/// vaccel_inference::export_backend! {
///     engine: Onnx,
///     name: c"onnx",
///     types: PLUGIN_CPU | PLUGIN_SOFTWARE,
///     extra: [],
/// }
/// ```
#[macro_export]
macro_rules! export_backend {
    (engine: $engine:ty, name: $name:expr, types: $types:expr, extra: [$($op:ident),*] $(,)?) => {
        /// The plugin.
        #[derive(Default)]
        pub struct Exported($crate::Backend<$engine>);

        impl $crate::vaccel_plugin::Plugin for Exported {
            const NAME: &'static std::ffi::CStr = $name;
            const VERSION: &'static std::ffi::CStr = $crate::vaccel_plugin::version!();
            const TYPES: $crate::vaccel_plugin::abi::plugin::PluginType = $types;
            const OPS: &'static [$crate::vaccel_plugin::Op] = &[
                $crate::vaccel_plugin::Op::Noop,
                $crate::vaccel_plugin::Op::ImageClassify,
                $crate::vaccel_plugin::Op::ImageDetect,
                $crate::vaccel_plugin::Op::ImageSegment,
                $crate::vaccel_plugin::Op::ImagePose,
                $crate::vaccel_plugin::Op::ImageDepth,
                $($crate::vaccel_plugin::Op::$op,)*
            ];
            const MODELS: bool = true;
            const JUDGES: bool = true;

            fn new() -> $crate::vaccel_plugin::Result<Self> {
                Ok(Self::default())
            }

            fn describe(&self) -> $crate::vaccel_plugin::Description {
                self.0.engine().describe()
            }

            fn noop(
                &self,
                _: &$crate::vaccel_plugin::Session<'_>,
            ) -> $crate::vaccel_plugin::Result<()> {
                Ok(())
            }

            fn image_classify(
                &self,
                session: &$crate::vaccel_plugin::Session<'_>,
                image: &[u8],
            ) -> $crate::vaccel_plugin::Result<$crate::vaccel_plugin::Classified> {
                self.0.classify(session, image)
            }

            $crate::image_operation!(image_detect, Detect);
            $crate::image_operation!(image_segment, Segment);
            $crate::image_operation!(image_pose, Pose);
            $crate::image_operation!(image_depth, Depth);

            fn load_model(
                &self,
                session: &$crate::vaccel_plugin::Session<'_>,
                source: &$crate::vaccel_plugin::ModelSource<'_>,
                options: &$crate::vaccel_plugin::Options,
            ) -> $crate::vaccel_plugin::Result<Box<dyn $crate::vaccel_plugin::Model>> {
                self.0.load_model(session, source, options)
            }

            fn judge_model(
                &self,
                _: &$crate::vaccel_plugin::Session<'_>,
                resource: Option<&$crate::vaccel_plugin::Resource<'_>>,
                op: Option<$crate::vaccel_plugin::Op>,
            ) -> $crate::vaccel_plugin::Result<$crate::vaccel_plugin::Judgement> {
                $crate::judge(resource, op)
            }

            fn session_closed(&self, session_id: i64) {
                self.0.session_closed(session_id);
            }
        }

        $crate::vaccel_plugin::export_plugin!(Exported);
    };
}

/// One image operation of [`export_backend!`].
#[doc(hidden)]
#[macro_export]
macro_rules! image_operation {
    ($operation:ident, $task:ident) => {
        fn $operation(
            &self,
            session: &$crate::vaccel_plugin::Session<'_>,
            image: &[u8],
        ) -> $crate::vaccel_plugin::Result<$crate::vaccel_plugin::Picture> {
            self.0
                .image(session, $crate::vaccel_vision::Task::$task, image)
        }
    };
}
