//! What each API server does by itself, whether or not it runs controllers: Services keep what they were given of the
//! cluster, and what is wrong with it is told as Events.

use std::sync::Arc;

use daemon::CancellationToken;

use crate::apiserver::server::Server;
use crate::apiserver::services::repair::{self, Fault};
use crate::client::Client;
use crate::controllers::events::Recorder;
use crate::controllers::plan::Telling;
use crate::controllers::{self, Ended};

/// The source of Events about ports.
const PORTS: &str = "portallocator-repair-controller";

/// Does it until `closing`. `faults` were found before anybody could be told.
///
/// # Errors
/// When a part of it ended before that.
pub(super) async fn run(
    server: Arc<Server>,
    faults: Vec<Fault>,
    closing: CancellationToken,
) -> Result<(), Ended> {
    let recorder = Recorder::default();
    let client = Client::new(server.clone(), "system:apiserver", &["system:masters"], "kube-apiserver");
    let teller = recorder.teller(client, PORTS);
    let tell = |Fault { about, reason, message }| {
        teller.tell(Telling { about, warning: true, reason, message });
    };
    faults.into_iter().for_each(tell);
    let telling = async {
        closing.run_until_cancelled(recorder.run()).await;
        Ok(())
    };
    let ports = async {
        repair::run(server.clone(), tell, closing.clone()).await;
        Ok(())
    };
    let addresses = controllers::work(server.clone(), controllers::own(), None, closing.clone().into());
    tokio::try_join!(addresses, ports, telling).map(drop)
}
