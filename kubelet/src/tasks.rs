//! Tasks whose end is noticed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// The tasks of a kubelet. Dropping it ends them.
#[derive(Default)]
pub(crate) struct Tasks {
    set: JoinSet<&'static str>,
    running: BTreeSet<&'static str>,
}

impl Tasks {
    /// Starts a task.
    pub(crate) fn add(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.insert(name);
        self.set.spawn(async move {
            // A panic in a task that owns state ends the kubelet, which starts again from what runs.
            if let Err(error) = AbortOnDropHandle::new(tokio::spawn(task)).await {
                tracing::error!(task = name, %error, "a task died");
            }
            name
        });
    }

    /// The name of the first task that ends.
    pub(crate) async fn first(&mut self) -> &'static str {
        self.next().await.unwrap_or("a task")
    }

    async fn next(&mut self) -> Option<&'static str> {
        let name = self.set.join_next().await?.unwrap_or("a task");
        self.running.remove(name);
        Some(name)
    }

    /// Waits for the others, for so long; returns those that did not end, which are ended now.
    pub(crate) async fn rest(mut self, limit: Duration) -> Vec<&'static str> {
        let all = async { while self.next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            let tasks = self.running.iter().copied().collect::<Vec<_>>().join(", ");
            tracing::warn!(tasks, limit = limit.as_secs(), "still at work when the time was over: ended");
        }
        self.running.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_named_and_ended() {
        struct Ends(tokio::sync::mpsc::UnboundedSender<()>);
        impl Drop for Ends {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (ended, mut watched) = tokio::sync::mpsc::unbounded_channel();
        let mut tasks = Tasks::default();
        tasks.add("the quick one", async {});
        tasks.add("the stubborn one", async move {
            let _ends = Ends(ended);
            std::future::pending().await
        });
        assert_eq!(tasks.first().await, "the quick one");
        assert_eq!(tasks.rest(Duration::from_millis(10)).await, ["the stubborn one"]);
        watched.recv().await.expect("its future is dropped");
    }
}
