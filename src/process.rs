//! Child processes that cannot outlive this one: each is killed when its handle is dropped, and ends by
//! itself when its standard input closes, which the operating system does for us if we are killed.

use crate::outcome::{Exit, Failure, Outcome};
use serde_json::Value;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

/// How long a child may take to end once it was asked to; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long the end of a dead child's log is waited for.
const TAIL_LIMIT: Duration = Duration::from_millis(500);
/// Lines of a dead child's log that are shown.
const TAIL_LINES: usize = 12;
/// The longest ready document that is read from a child.
const READY_BYTES_MAX: usize = 64 * 1024;

/// The last lines of a child's log.
type Tail = Arc<Mutex<VecDeque<String>>>;

/// One running child: an agent or a coordinator, this same binary.
pub(crate) struct Supervised {
    name: String,
    child: Child,
    /// Held open as long as the child is to live.
    stdin: Option<ChildStdin>,
    tail: Tail,
    /// Ends when the child's log does.
    tail_task: JoinHandle<()>,
}

impl Supervised {
    /// Starts this binary with `arguments` and waits for its ready document, however long it reads its data.
    pub(crate) async fn start<I, S>(name: &str, arguments: I) -> Outcome<(Self, Value)>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let program = std::env::current_exe().map_err(|error| cannot_start(name, &error))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot_start(name, &error))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let tail = Tail::default();
        let tail_task = tokio::spawn(keep_tail(stderr, Arc::clone(&tail)));
        let mut supervised = Self {
            name: name.to_owned(),
            child,
            stdin,
            tail,
            tail_task,
        };
        let ready = supervised.ready_document(stdout).await?;
        Ok((supervised, ready))
    }

    /// Waits until the child has printed one JSON document. An error document becomes our failure.
    async fn ready_document(
        &mut self,
        mut stdout: impl AsyncRead + Unpin + Send + 'static,
    ) -> Outcome<Value> {
        let reading = async {
            let mut text = Vec::new();
            loop {
                let n_bytes = stdout.read_buf(&mut text).await.unwrap_or(0);
                if let Ok(document) = serde_json::from_slice::<Value>(&text) {
                    return Some(document);
                }
                if n_bytes == 0 || text.len() > READY_BYTES_MAX {
                    return None;
                }
            }
        };
        let Some(document) = reading.await else {
            return Err(self.death().await);
        };
        match Failure::from_document(&document) {
            Some(failure) => Err(failure.by(&self.name)),
            None => {
                // Nothing more is expected; reading on keeps the child from blocking if there is.
                tokio::spawn(
                    async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await },
                );
                Ok(document)
            }
        }
    }

    /// Has the child ended by itself?
    pub(crate) fn is_dead(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Resolves when the child ends by itself, which it should not; says how.
    pub(crate) async fn death(&mut self) -> Failure {
        let status = self.child.wait().await.ok();
        // The log's last lines may still be on their way. A grandchild could keep the pipe open for ever.
        let _ = tokio::time::timeout(TAIL_LIMIT, &mut self.tail_task).await;
        let how = status.map_or_else(|| "for an unknown reason".to_owned(), describe);
        let lines: Vec<String> = self
            .tail
            .lock()
            .map(|tail| tail.iter().cloned().collect())
            .unwrap_or_default();
        let failure = Failure::new(
            Exit::PeerLost,
            "process_died",
            format!("the process of {} ended {how}", self.name),
        );
        if lines.is_empty() {
            failure.advice("its log is empty; run it alone to see why")
        } else {
            failure.advice(format!("its log ends with:\n    {}", lines.join("\n    ")))
        }
    }

    /// Asks the child to end, and kills it if it does not.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if tokio::time::timeout(STOP_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            // Nothing to report to: it was to end, and this ends it.
            let _ = self.child.kill().await;
        }
    }
}

fn cannot_start(name: &str, error: &std::io::Error) -> Failure {
    Failure::runtime("start", format!("cannot start the process of {name}: {error}"))
        .advice("the program starts copies of itself; check that it may be executed and that memory is free")
}

fn describe(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("with exit code {code}"),
        None => format!("by a signal ({status})"),
    }
}

async fn keep_tail(stderr: impl AsyncRead + Unpin, tail: Tail) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(mut tail) = tail.lock() else { return };
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// Resolves when this process should end: on a signal, or, for a child of ours, when its standard input
/// closes. A child does not react to Ctrl-C, which its parent handles for all of them.
pub(crate) async fn asked_to_stop(until_stdin_closes: bool) {
    let (closed, stdin_closed) = tokio::sync::oneshot::channel();
    if until_stdin_closes {
        std::thread::spawn(move || {
            // A read error means the same as the end: nobody holds the other side.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            let _ = closed.send(());
            end_whatever_hangs();
        });
        tokio::select! {
            _ = stdin_closed => {}
            () = terminated() => {}
            () = forever_ignoring_interrupts() => {}
        }
    } else {
        tokio::select! {
            () = interrupted() => {}
            () = terminated() => {}
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the parent is gone; a task that hangs must not keep this process"
)]
fn end_whatever_hangs() {
    std::thread::sleep(STOP_LIMIT);
    std::process::exit(i32::from(Exit::Runtime.code()));
}

/// Resolves on Ctrl-C.
pub(crate) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn forever_ignoring_interrupts() {
    loop {
        interrupted().await;
    }
}

/// Resolves when the service manager asks for the end.
#[cfg(unix)]
pub(crate) async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending::<()>().await,
    }
}

/// Resolves when the service manager asks for the end.
#[cfg(not(unix))]
pub(crate) async fn terminated() {
    std::future::pending::<()>().await;
}
