//! Query parameters of the operations.

/// A parameter: name, JSON type, what it does.
pub(super) type Parameter = (&'static str, &'static str, &'static str);

/// Of every operation.
pub(super) const PRETTY: Parameter = ("pretty", "string", "If 'true', the output is indented.");
/// Of everything that writes.
pub(super) const WRITE: [Parameter; 3] = [
    ("dryRun", "string", "'All' runs every stage but the last one, so that nothing is stored."),
    ("fieldManager", "string", "The name of who makes the change, at most 128 printable characters."),
    ("fieldValidation", "string", "What to do about unknown and duplicate fields: Ignore, Warn or Strict."),
];
/// Of a patch, too.
pub(super) const FORCE: Parameter =
    ("force", "boolean", "Take over fields that others own. Only for apply patches.");
/// Of a deletion.
pub(super) const DELETE: [Parameter; 5] = [
    WRITE[0],
    ("gracePeriodSeconds", "integer", "Seconds until the object is gone; 0 is at once."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete an object that can no longer be read, without its finalizers. Unsafe.",
    ),
    ("orphanDependents", "boolean", "Deprecated, use propagationPolicy. Whether dependents stay."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];
/// Of a list.
pub(super) const LIST: [Parameter; 10] = [
    ("allowWatchBookmarks", "boolean", "A watch may send events of the type BOOKMARK."),
    ("continue", "string", "The token of the page before, to go on where it ended."),
    ("fieldSelector", "string", "Only objects whose fields have these values."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "At most so many objects; more are told by a continue token."),
    ("resourceVersion", "string", "How new the answer is to be."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "A watch begins with an event for each object there is."),
    ("timeoutSeconds", "integer", "The call ends after so many seconds."),
    ("watch", "boolean", "Answer with a stream of changes instead of a list."),
];
const LOG: [Parameter; 10] = [
    ("container", "string", "The container; the only one by default."),
    ("follow", "boolean", "Go on as the log grows."),
    ("insecureSkipTLSVerifyBackend", "boolean", "Do not check the certificate of the kubelet."),
    ("limitBytes", "integer", "End after so many bytes."),
    ("previous", "boolean", "The log of the container that ran before."),
    ("sinceSeconds", "integer", "Only lines of the last so many seconds."),
    ("stream", "string", "All, Stdout or Stderr."),
    ("tailLines", "integer", "Only the last so many lines."),
    ("timestamps", "boolean", "Begin each line with its time."),
    PRETTY,
];
const EXEC: [Parameter; 6] = [
    ("command", "string", "The command and its arguments, once for each."),
    ("container", "string", "The container; the only one by default."),
    ("stderr", "boolean", "Stream its standard error."),
    ("stdin", "boolean", "Stream its standard input."),
    ("stdout", "boolean", "Stream its standard output."),
    ("tty", "boolean", "It has a terminal."),
];
const PORTS: [Parameter; 1] = [("ports", "integer", "The ports to forward.")];
const PROXY: [Parameter; 1] = [("path", "string", "The path at the other end.")];

/// Of a subresource that connects to a container, a node or a service; nothing for any other subresource.
pub(super) fn of_connection(subresource: &str) -> Option<&'static [Parameter]> {
    match subresource {
        "exec" => Some(&EXEC),
        "attach" => Some(&EXEC[1..]),
        "portforward" => Some(&PORTS),
        "proxy" => Some(&PROXY),
        _ => None,
    }
}

/// Of a pod's log.
pub(super) fn of_log() -> &'static [Parameter] {
    &LOG
}
