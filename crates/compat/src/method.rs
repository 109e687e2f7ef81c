//! What a request asks for.

/// The service of clients that wait for each answer.
pub const SYNC_SERVICE: &str = "vaccel.sync.agent.AgentService";
/// The service of clients that do not wait; it has a streaming Genop too.
pub const ASYNC_SERVICE: &str = "vaccel.asynchronous.agent.AgentService";

/// A service of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// [`SYNC_SERVICE`].
    Sync,
    /// [`ASYNC_SERVICE`].
    Async,
}

impl Service {
    /// Its full name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sync => SYNC_SERVICE,
            Self::Async => ASYNC_SERVICE,
        }
    }
}

/// A method that both services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it; `message` has what they take and give.
pub enum Method {
    CreateSession,
    UpdateSession,
    DestroySession,
    RegisterResource,
    UnregisterResource,
    SyncResource,
    ImageClassification,
    TensorflowModelLoad,
    TensorflowModelUnload,
    TensorflowModelRun,
    TensorflowLiteModelLoad,
    TensorflowLiteModelUnload,
    TensorflowLiteModelRun,
    TorchModelLoad,
    TorchModelRun,
    Genop,
    GetProfiler,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 17] = [
        Self::CreateSession,
        Self::UpdateSession,
        Self::DestroySession,
        Self::RegisterResource,
        Self::UnregisterResource,
        Self::SyncResource,
        Self::ImageClassification,
        Self::TensorflowModelLoad,
        Self::TensorflowModelUnload,
        Self::TensorflowModelRun,
        Self::TensorflowLiteModelLoad,
        Self::TensorflowLiteModelUnload,
        Self::TensorflowLiteModelRun,
        Self::TorchModelLoad,
        Self::TorchModelRun,
        Self::Genop,
        Self::GetProfiler,
    ];

    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateSession => "CreateSession",
            Self::UpdateSession => "UpdateSession",
            Self::DestroySession => "DestroySession",
            Self::RegisterResource => "RegisterResource",
            Self::UnregisterResource => "UnregisterResource",
            Self::SyncResource => "SyncResource",
            Self::ImageClassification => "ImageClassification",
            Self::TensorflowModelLoad => "TensorflowModelLoad",
            Self::TensorflowModelUnload => "TensorflowModelUnload",
            Self::TensorflowModelRun => "TensorflowModelRun",
            Self::TensorflowLiteModelLoad => "TensorflowLiteModelLoad",
            Self::TensorflowLiteModelUnload => "TensorflowLiteModelUnload",
            Self::TensorflowLiteModelRun => "TensorflowLiteModelRun",
            Self::TorchModelLoad => "TorchModelLoad",
            Self::TorchModelRun => "TorchModelRun",
            Self::Genop => "Genop",
            Self::GetProfiler => "GetProfiler",
        }
    }

    /// The service and the method of these names, which are case-sensitive.
    #[must_use]
    pub fn find(service: &str, method: &str) -> Option<(Service, Self)> {
        let service = [Service::Sync, Service::Async]
            .into_iter()
            .find(|s| s.name() == service)?;
        let method = Self::ALL.into_iter().find(|m| m.name() == method)?;
        Some((service, method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_in_both_services() {
        for method in Method::ALL {
            for service in [Service::Sync, Service::Async] {
                let found = Method::find(service.name(), method.name());
                assert_eq!(found, Some((service, method)));
            }
        }
    }

    #[test]
    fn other_names_are_not_found() {
        assert_eq!(Method::find(SYNC_SERVICE, "genop"), None);
        assert_eq!(Method::find(SYNC_SERVICE, ""), None);
        assert_eq!(Method::find("vaccel.agent.AgentService", "Genop"), None);
    }
}
