//! The store in an etcd of 3.4 or later: each write is one transaction, as upstream's API server does it.

mod lease;
mod watch;

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, GetOptions, KeyValue, PutOptions, TlsOptions, Txn, TxnOp,
    TxnOpResponse, WatchOptions,
};
use futures_util::future::BoxFuture;

use self::lease::Leases;
use self::watch::Events;
use super::{
    At, Change, Entry, Expect, Page, Range, Revision, Stats, Store, StoreError, VALUE_LIMIT, Watch,
    prefix_end,
};

/// Entries of one answer: an unlimited listing is read in parts of so many, at one revision, so that a large store
/// neither meets a limit of gRPC nor holds up the other readers of etcd.
const PART: usize = 500;

/// How to reach etcd.
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    /// Members' client addresses, such as `https://10.0.0.1:2379`; requests go to those that answer.
    pub endpoints: Vec<String>,
    /// Certificates, for `https`.
    pub tls: Option<TlsOptions>,
    /// The longest wait for an answer.
    pub timeout: Duration,
}

/// The store in etcd.
pub struct Etcd {
    client: Client,
    name: String,
    leases: Leases,
}

impl Etcd {
    /// Makes ready to talk to etcd; the first request connects.
    pub async fn connect(options: &EtcdOptions) -> Result<Self, StoreError> {
        // A member cut off from the others has no leader: better an error there, and another member, than silence.
        let mut connect = ConnectOptions::new()
            .with_timeout(options.timeout)
            .with_connect_timeout(options.timeout)
            .with_keep_alive(Duration::from_secs(10), options.timeout)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(tls) = &options.tls {
            connect = connect.with_tls(tls.clone());
        }
        let name = options.endpoints.join(",");
        let client = Client::connect(&options.endpoints, Some(connect))
            .await
            .map_err(|e| unavailable("connect", &name, &e))?;
        Ok(Self { client, name, leases: Leases::default() })
    }

    async fn put_or_delete(&self, key: &str, expect: Expect, change: Change) -> Result<Revision, StoreError> {
        // As in the embedded store: a deletion that expects nothing has no effect, and no write is number 0.
        if matches!((expect, &change), (Expect::Absent, Change::Delete) | (Expect::At(0), _)) {
            let current = self.read_one(key).await?.what;
            return Err(StoreError::Conflict { key: key.to_owned(), current: current.map(Box::new) });
        }
        let modified = match expect {
            Expect::Absent => 0,
            Expect::At(revision) => signed(revision),
        };
        let operation = match change {
            Change::Put { value, .. } if value.len() > VALUE_LIMIT => {
                return Err(StoreError::TooLarge { key: key.to_owned(), size: value.len() });
            }
            Change::Put { value, ttl } => {
                let mut options = PutOptions::new();
                if let Some(ttl) = ttl {
                    let lease =
                        self.leases.of(&self.client, ttl).await.map_err(|e| self.error("lease", &e))?;
                    options = options.with_lease(lease);
                }
                TxnOp::put(key, value, Some(options))
            }
            Change::Delete => TxnOp::delete(key, None),
        };
        let txn = Txn::new()
            .when([Compare::mod_revision(key, CompareOp::Equal, modified)])
            .and_then([operation])
            .or_else([TxnOp::get(key, None)]);
        let mut answer = self.client.kv_client().txn(txn).await.map_err(|e| self.error("write", &e))?;
        if answer.succeeded() {
            return Ok(unsigned(answer.take_header().map_or(0, |h| h.revision())));
        }
        let current = answer.op_responses().into_iter().find_map(|r| match r {
            TxnOpResponse::Get(found) => found.kvs().first().map(entry),
            _ => None,
        });
        Err(StoreError::Conflict { key: key.to_owned(), current: current.transpose()?.map(Box::new) })
    }

    async fn read_one(&self, key: &str) -> Result<At<Option<Entry>>, StoreError> {
        let found = self.client.kv_client().get(key, None).await.map_err(|e| self.error("get", &e))?;
        let revision = unsigned(found.header().map_or(0, |h| h.revision()));
        Ok(At { what: found.kvs().first().map(entry).transpose()?, revision })
    }

    async fn read_range(&self, range: Range) -> Result<At<Page>, StoreError> {
        let end = prefix_end(&range.prefix).unwrap_or_else(|| vec![0]);
        let wanted = range.limit.unwrap_or(usize::MAX);
        let mut at = range.at;
        let mut after = range.after.filter(|a| *a >= range.prefix);
        let mut page = Page::default();
        loop {
            let part = PART.min(wanted - page.entries.len());
            // A limit of 0 would mean none to etcd; counting alone says it.
            let mut options = GetOptions::new().with_range(end.clone());
            options = if part == 0 { options.with_count_only() } else { options.with_limit(part as i64) };
            if let Some(revision) = at {
                options = options.with_revision(signed(revision));
            }
            let begin = match &after {
                Some(after) => [after.as_bytes(), &[0]].concat(),
                // etcd's name for the first of all keys.
                None if range.prefix.is_empty() => vec![0],
                None => range.prefix.clone().into_bytes(),
            };
            let found = match self
                .client
                .kv_client()
                .max_decoding_message_size(usize::MAX)
                .get(begin, Some(options))
                .await
            {
                Ok(found) => found,
                Err(e) => return Err(self.explain("list", at, &e).await),
            };
            let revision = *at.get_or_insert(unsigned(found.header().map_or(0, |h| h.revision())));
            let read: Vec<Entry> = found.kvs().iter().map(entry).collect::<Result<_, _>>()?;
            page.remaining = unsigned(found.count()).saturating_sub(read.len() as u64);
            after = read.last().map(|e| e.key.clone()).or(after);
            page.entries.extend(read);
            if page.remaining == 0 || page.entries.len() >= wanted {
                return Ok(At { what: page, revision });
            }
        }
    }

    async fn newest(&self) -> Result<Revision, StoreError> {
        // Any linearizable read tells; this one carries no keys.
        let options = GetOptions::new().with_count_only();
        let answer = self
            .client
            .kv_client()
            .get("/", Some(options))
            .await
            .map_err(|e| self.error("get the revision", &e))?;
        Ok(unsigned(answer.header().map_or(0, |h| h.revision())))
    }

    fn error(&self, operation: &'static str, e: &etcd_client::Error) -> StoreError {
        unavailable(operation, &self.name, e)
    }

    /// etcd has one status for a revision that is too old and one that is too new; the newest one tells them apart.
    async fn explain(
        &self,
        operation: &'static str,
        at: Option<Revision>,
        e: &etcd_client::Error,
    ) -> StoreError {
        let etcd_client::Error::GRpcStatus(status) = e else { return self.error(operation, e) };
        match (at, status.code()) {
            (Some(revision), tonic::Code::OutOfRange) => match self.newest().await {
                Ok(newest) if revision > newest => StoreError::Future { revision, newest },
                // etcd does not say here which one is the oldest.
                Ok(_) => StoreError::Compacted { revision, oldest: revision + 1 },
                Err(e) => e,
            },
            _ => self.error(operation, e),
        }
    }
}

impl Store for Etcd {
    fn write<'a>(
        &'a self,
        key: &'a str,
        expect: Expect,
        change: Change,
    ) -> BoxFuture<'a, Result<Revision, StoreError>> {
        Box::pin(self.put_or_delete(key, expect, change))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<At<Option<Entry>>, StoreError>> {
        Box::pin(self.read_one(key))
    }

    fn list(&self, range: Range) -> BoxFuture<'_, Result<At<Page>, StoreError>> {
        Box::pin(self.read_range(range))
    }

    fn watch<'a>(
        &'a self,
        prefix: &'a str,
        after: Revision,
    ) -> BoxFuture<'a, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            let newest = self.newest().await?;
            if after > newest {
                return Err(StoreError::Future { revision: after, newest });
            }
            let mut options = WatchOptions::new()
                .with_start_revision(signed(after) + 1)
                .with_prev_key()
                .with_progress_notify();
            options = if prefix.is_empty() { options.with_all_keys() } else { options.with_prefix() };
            let stream = self
                .client
                .watch_client()
                // One message holds all events of a watch that is behind.
                .max_decoding_message_size(usize::MAX)
                .watch(prefix, Some(options))
                .await
                .map_err(|e| self.error("watch", &e))?;
            Ok(Box::new(Events::new(stream, self.name.clone(), after)) as Box<dyn Watch>)
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.client.kv_client().compact(signed(revision), None).await {
                Ok(_) => Ok(()),
                Err(e) => Err(self.explain("compact", Some(revision), &e).await),
            }
        })
    }

    fn stats(&self) -> BoxFuture<'_, Result<Stats, StoreError>> {
        Box::pin(
            async move { Ok(Stats { revision: self.newest().await?, compacted: 0, history_bytes: None }) },
        )
    }

    fn start_after(&self, _revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        // etcd counts by itself; clients with higher revisions are told of the future, and list anew.
        Box::pin(async { Ok(()) })
    }
}

fn entry(kv: &KeyValue) -> Result<Entry, StoreError> {
    Ok(Entry {
        key: text(kv)?,
        value: bytes::Bytes::copy_from_slice(kv.value()),
        created: unsigned(kv.create_revision()),
        modified: unsigned(kv.mod_revision()),
        transient: kv.lease() != 0,
    })
}

fn text(kv: &KeyValue) -> Result<String, StoreError> {
    kv.key_str().map(str::to_owned).map_err(|e| StoreError::Damaged {
        store: "etcd".to_owned(),
        reason: format!("a key is no UTF-8: {e}"),
    })
}

fn unavailable(operation: &'static str, store: &str, e: &etcd_client::Error) -> StoreError {
    StoreError::Unavailable { operation, store: store.to_owned(), reason: e.to_string() }
}

/// etcd's revisions are signed and never negative.
fn unsigned(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}

fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}
