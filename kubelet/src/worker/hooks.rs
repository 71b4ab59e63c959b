//! `postStart` and `preStop`.

use std::time::Duration;

use api_cri::v1::ExecSyncRequest;
use api_k8s::v1::LifecycleHandler;

use crate::core::Outcome;
use crate::cri::Client;
use crate::probe::{Target, get};

/// Calls a handler; the error is for people.
pub(crate) async fn call(
    client: &Client,
    handler: &LifecycleHandler,
    target: &Target<'_>,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let request = ExecSyncRequest {
            container_id: target.id.into(),
            cmd: exec.command.clone().unwrap_or_default(),
            // No limit but the caller's.
            timeout: 0,
        };
        let answer = client.runtime.clone().exec_sync(request).await;
        let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
        return match answer.exit_code {
            0 => Ok(()),
            code => Err(format!("exit code {code}: {}", String::from_utf8_lossy(&answer.stderr).trim())),
        };
    }
    if let Some(action) = &handler.http_get {
        return match get(action, target).await {
            Ok(status) if status.as_u16() < 400 => Ok(()),
            Ok(status) => Err(format!("the HTTP handler answered {status}")),
            Err(Outcome::Failure(text) | Outcome::Unknown(text)) => Err(text),
            Err(Outcome::Success) => Ok(()),
        };
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds.unsigned_abs())).await;
    }
    // `tcpSocket` is accepted by the API and does nothing.
    Ok(())
}
