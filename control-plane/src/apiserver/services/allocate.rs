//! Takes what a Service is to have while it is written, and gives back what comes of nothing or is needed no longer.

use std::net::IpAddr;
use std::sync::Arc;

use api_objects::address::Family;
use api_objects::{FieldError, Path};
use http::StatusCode;
use serde_json::Value;

use super::block::Block;
use super::families;
use super::ports::Ports;
use super::store::{self, Addresses, Owner};
use super::wish::{self, Moved, Unfit, Wish};
use crate::apiserver::server::Server;
use crate::apiserver::status::{Cause, Details, Status};
use crate::apiserver::write::random;
use crate::storage::StoreError;

const MISMATCH: &str = "the provided network does not match the current range";
const TAKEN: &str = "provided IP is already allocated";
const FULL: &str = "range is full";

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::apiserver) enum Outcome {
    /// It is done.
    Written,
    /// It is certain that nothing was written.
    Refused,
    /// It may have been done: a store that does not answer may have taken it.
    Unknown,
}

impl Outcome {
    /// By what a client is told.
    pub(in crate::apiserver) fn of<T>(result: &Result<T, Status>) -> Self {
        match result {
            Ok(_) => Self::Written,
            Err(status) if status.code.is_client_error() => Self::Refused,
            Err(_) => Self::Unknown,
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    addresses: Vec<IpAddr>,
    ports: Vec<i64>,
}

/// What a write of a Service moves.
#[derive(Debug, Default)]
#[must_use]
pub(in crate::apiserver) struct Allocation {
    owner: Owner,
    /// Given back when nothing comes of the write.
    taken: Held,
    /// Given back when the Service is written.
    obsolete: Held,
    /// The Service is written, whatever is answered.
    written: bool,
}

impl Allocation {
    /// Writes into a Service what it is to have, and takes it. A dry run looks, and takes nothing.
    pub(in crate::apiserver) async fn begin(
        server: &Arc<Server>,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<Self, Status> {
        let mut allocation = Self { owner: Owner::of(service), ..Self::default() };
        match allocation.take(server, service, old, dry_run).await {
            Ok(()) if dry_run => Ok(Self::default()),
            Ok(()) => Ok(allocation),
            Err(status) => {
                if !dry_run {
                    allocation.end(server, Outcome::Refused).await;
                }
                Err(status)
            }
        }
    }

    async fn take(
        &mut self,
        server: &Arc<Server>,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<(), Status> {
        let name = self.owner.name.clone();
        let invalid = |errors| Status::invalid("", "Service", &name, errors);
        wish::keep(service, old);
        families::settle(service, old, &server.network.families()).map_err(invalid)?;
        let (wishes, obsolete) = wish::plan_addresses(service, old);
        self.obsolete.addresses = obsolete;
        if !wishes.is_empty() {
            self.take_addresses(server, service, &wishes, dry_run).await?;
        }
        let moved = take_ports(server, service, old, dry_run).await.map_err(|fault| match fault {
            Fault::Unfit(Unfit::Field(error)) => invalid(vec![error]),
            Fault::Unfit(Unfit::Other(why)) => internal(&why),
            Fault::Store(status) => status,
        })?;
        (self.taken.ports, self.obsolete.ports) = (moved.taken, moved.obsolete);
        Ok(())
    }

    async fn take_addresses(
        &mut self,
        server: &Arc<Server>,
        service: &mut Value,
        wishes: &[Wish],
        dry_run: bool,
    ) -> Result<(), Status> {
        let blocks = store::blocks(server).await?;
        let addresses = Addresses::of(server).await?;
        let pool = Pool { blocks, addresses, owner: &self.owner, dry_run };
        for wish in wishes {
            let spec = &mut service["spec"];
            let mut list = spec["clusterIPs"].as_array().cloned().unwrap_or_default();
            list.resize(list.len().max(wish.index + 1), "".into());
            let got = match &wish.address {
                Some(asked) => pool.take(asked, &list).await?,
                None => pool.take_any(wish.family).await?,
            };
            self.taken.addresses.push(got);
            let shown = wish.address.clone().unwrap_or_else(|| got.to_string());
            list[wish.index] = shown.into();
            spec["clusterIP"] = list[0].clone();
            spec["clusterIPs"] = list.into();
        }
        Ok(())
    }

    /// The write is done: an answer that fails after it undoes nothing.
    pub(in crate::apiserver) fn was_written(&mut self) {
        self.written = true;
    }

    /// Gives back what is nobody's after the write. What cannot be given back is found by the repair later.
    pub(in crate::apiserver) async fn end(self, server: &Arc<Server>, outcome: Outcome) {
        let outcome = if self.written { Outcome::Written } else { outcome };
        let held = match outcome {
            Outcome::Written => self.obsolete,
            Outcome::Refused => self.taken,
            Outcome::Unknown => return,
        };
        if let Err(error) = give_back(server, &self.owner, &held).await {
            let Owner { namespace, name } = &self.owner;
            tracing::warn!(%error, namespace, name, ?held, "addresses or ports of a Service stay taken for a while");
        }
    }
}

/// Where addresses come from, and for whom.
struct Pool<'a> {
    blocks: Vec<Block>,
    addresses: Addresses<'a>,
    owner: &'a Owner,
    /// They are looked at and not taken.
    dry_run: bool,
}

impl Pool<'_> {
    /// The address that a Service asks for; `list` is what it asks for altogether, for the message that refuses it.
    async fn take(&self, asked: &str, list: &[Value]) -> Result<IpAddr, Status> {
        let refused = |why: &str| {
            let path = Path::ROOT.field("spec");
            let why = format!("failed to allocate IP {asked}: {why}");
            let error = FieldError::invalid(&path.field("clusterIPs"), list, &why);
            Status::invalid("", "Service", &self.owner.name, vec![error])
        };
        let address = asked.parse().ok();
        let address = address.filter(|address| self.blocks.iter().any(|block| block.has(*address)));
        let address = address.ok_or_else(|| refused(MISMATCH))?;
        let free = match self.dry_run {
            true => !self.addresses.is_taken(address).await?,
            false => self.addresses.take(address, self.owner).await?,
        };
        if free { Ok(address) } else { Err(refused(TAKEN)) }
    }

    /// Any address of a family.
    async fn take_any(&self, family: Family) -> Result<IpAddr, Status> {
        let random = u64::from_ne_bytes(random());
        let blocks = self.blocks.iter().filter(|block| block.family() == family);
        for address in blocks.flat_map(|block| block.candidates(random)) {
            if self.addresses.seems_taken(address) {
                continue;
            }
            // Whoever was faster has this one; there are others.
            if self.dry_run || self.addresses.take(address, self.owner).await? {
                return Ok(address);
            }
        }
        let name = &self.owner.name;
        Err(internal(&format!("failed to allocate a serviceIP for Service {name:?}: {FULL}")))
    }
}

async fn give_back(server: &Arc<Server>, owner: &Owner, held: &Held) -> Result<(), Status> {
    let mut done = Ok(());
    if !held.addresses.is_empty() {
        let addresses = Addresses::of(server).await?;
        for address in &held.addresses {
            done = done.and(addresses.free(*address, owner).await);
        }
    }
    if !held.ports.is_empty() {
        let freed = change_ports(server, false, |ports| {
            held.ports.iter().for_each(|port| ports.free(*port));
            Ok(())
        });
        freed.await.map_err(|fault| match fault {
            Fault::Store(status) => status,
            Fault::Unfit(_) => Status::unexpected("giving ports back cannot be unfit"),
        })?;
    }
    Ok(done?)
}

/// Gives back what a Service had that was removed, and removes the Endpoints of its name, so that another Service of
/// the name does not begin with them.
pub(in crate::apiserver) async fn released(server: &Arc<Server>, service: &Value) {
    let owner = Owner::of(service);
    let spec = &service["spec"];
    let mut ports = wish::node_ports(spec);
    ports.extend(wish::health_port(spec));
    if let Ok(endpoints) = server.kinds.core("endpoints") {
        let key = endpoints.kind.key(Some(&owner.namespace), Some(&owner.name));
        if let Err(error) = store::remove(server, &key, |_| true).await {
            tracing::warn!(%error, key, "the Endpoints of a Service that went stay");
        }
    }
    let obsolete = Held { addresses: wish::addresses(spec), ports };
    Allocation { owner, obsolete, ..Allocation::default() }.end(server, Outcome::Written).await;
}

/// Why ports were not changed.
enum Fault {
    Unfit(Unfit),
    Store(Status),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

async fn take_ports(
    server: &Arc<Server>,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<Moved, Fault> {
    let mut random = || u64::from_ne_bytes(random());
    let assign = |ports: &mut Ports, random: &mut dyn FnMut() -> u64| {
        let mut service = service.clone();
        wish::assign_ports(&mut service, old, ports, random).map(|moved| (service, moved))
    };
    // Most writes need no port that they do not have.
    let mut none = Ports::new(server.network.node_ports);
    if let Ok((_, moved)) = assign(&mut none, &mut random)
        && moved.taken.is_empty()
    {
        return Ok(moved);
    }
    let changed = change_ports(server, dry_run, |ports| assign(ports, &mut random)).await?;
    let (changed, moved) = changed;
    *service = changed;
    Ok(moved)
}

/// Changes the map of ports, again when somebody was faster.
async fn change_ports<T>(
    server: &Arc<Server>,
    dry_run: bool,
    mut change: impl FnMut(&mut Ports) -> Result<T, Unfit>,
) -> Result<T, Fault> {
    // Writers of one server wait for each other and not for the store to refuse them.
    let _one = server.ports.lock().await;
    loop {
        let range = server.network.node_ports;
        let stored = store::ports(server).await?.filter(|(ports, _)| ports.range() == range);
        let Some((mut ports, revision)) = stored else {
            let why = format!("cannot allocate node ports at this time: those of {range} are not prepared");
            return Err(Fault::Store(internal(&why)));
        };
        let before = ports.clone();
        let done = change(&mut ports).map_err(Fault::Unfit)?;
        if dry_run || ports == before || store::put_ports(server, &ports, Some(revision)).await? {
            return Ok(done);
        }
    }
}

/// 500: the object is right, and the cluster cannot do it.
fn internal(why: &str) -> Status {
    let message = format!("Internal error occurred: {why}");
    let mut status = Status::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
    let cause = Cause { reason: String::new(), message: why.to_owned(), field: String::new() };
    status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
    status
}
