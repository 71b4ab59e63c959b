//! Version, Status and RuntimeConfig.

use std::collections::HashMap;

use api_cri::v1::{
    CgroupDriver, LinuxRuntimeConfiguration, RuntimeCondition, RuntimeConfigResponse, RuntimeFeatures,
    RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusResponse, VersionResponse,
};

use super::Service;

/// What the kubelet's client insists on; it is the version of the kubelet's API of 2016.
const KUBELET_API_VERSION: &str = "0.1.0";

pub(super) fn version() -> VersionResponse {
    VersionResponse {
        version: KUBELET_API_VERSION.into(),
        runtime_name: "orlop".into(),
        runtime_version: env!("CARGO_PKG_VERSION").into(),
        runtime_api_version: "v1".into(),
    }
}

impl Service {
    /// The network is looked at anew each time, so a configuration that appears later makes it ready.
    pub(super) fn status(&self, verbose: bool) -> StatusResponse {
        let network = self.engine.performer.network.ready();
        let condition = |kind: &str, failed: Option<(&str, String)>| {
            let (reason, message) = failed.unwrap_or_default();
            RuntimeCondition {
                r#type: kind.into(),
                status: message.is_empty(),
                reason: reason.into(),
                message,
            }
        };
        let not_ready = network.err().map(|error| ("NetworkPluginNotReady", error.to_string()));
        let mut info = HashMap::new();
        if verbose {
            let state = self.engine.performer.paths.state().display().to_string();
            let config = serde_json::json!({"runtime": self.engine.performer.runtime, "state": state});
            info.insert("config".into(), config.to_string());
        }
        StatusResponse {
            status: Some(RuntimeStatus {
                conditions: vec![condition("RuntimeReady", None), condition("NetworkReady", not_ready)],
            }),
            info,
            runtime_handlers: vec![RuntimeHandler {
                name: String::new(),
                features: Some(RuntimeHandlerFeatures {
                    recursive_read_only_mounts: true,
                    user_namespaces: false,
                }),
            }],
            features: Some(RuntimeFeatures {
                supplemental_groups_policy: true,
                user_namespaces_host_network: false,
            }),
        }
    }
}

pub(super) fn runtime_config() -> RuntimeConfigResponse {
    RuntimeConfigResponse {
        linux: Some(LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() }),
    }
}
