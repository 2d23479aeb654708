//! Running the built binary, with a guard against hanging and without sleeping.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A guard against hanging, not an expectation: nothing below waits for it when all is well.
pub(crate) const HANG: Duration = Duration::from_secs(600);
/// The pace of a poll for something that another process does.
const POLL: Duration = Duration::from_millis(20);

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!(
                "not one JSON document ({error}):\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }

    /// Asserts the exit code; shows everything if it is another.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// The command, ready for more arguments; it reads no configuration of the machine.
pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entente"));
    command
        .args(arguments)
        .env_remove("ENTENTE_CONFIG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// Runs to the end.
pub(crate) fn entente<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Ended {
    finish(command(arguments))
}

/// Runs a prepared command to the end.
pub(crate) fn finish(mut command: Command) -> Ended {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    wait(child)
}

/// Waits for a child with piped output; kills it and fails if it hangs.
pub(crate) fn wait(mut child: Child) -> Ended {
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let id = child.id();
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait()));
    let Ok(status) = ended.recv_timeout(HANG) else {
        signal(id, "KILL");
        panic!("hangs:\n{}", stderr.recv().unwrap_or_default());
    };
    Ended {
        code: status
            .expect("the child was ours to wait for")
            .code()
            .unwrap_or(-1),
        stdout: stdout.recv().unwrap_or_default(),
        stderr: stderr.recv().unwrap_or_default(),
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// Sends a signal to one process that this test started.
pub(crate) fn signal(process: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process.to_string())
        .status();
}

/// Polls until `look` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < HANG, "waited in vain for {what}");
        std::thread::park_timeout(POLL);
    }
}

/// Running processes whose command line names `path`.
pub(crate) fn processes_about(path: &Path) -> Vec<u32> {
    let needle = path.to_string_lossy().into_owned();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&needle)
        })
        .collect()
}

/// The root of the sources.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `NAME=DIR` of a bundled party.
pub(crate) fn party(name: &str, directory: &Path) -> String {
    format!("{name}={}", directory.display())
}

/// The three bundled hospitals, as arguments of `simulate`.
pub(crate) fn hospitals() -> Vec<String> {
    let data = root().join("examples/data/claims_diabetes130");
    ["hospital_1", "hospital_2", "hospital_3"]
        .iter()
        .flat_map(|name| ["--party".to_owned(), party(name, &data.join(name))])
        .collect()
}

/// An example job.
pub(crate) fn job(name: &str) -> PathBuf {
    root().join("examples/jobs").join(name)
}

/// Permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .expect("the file is there")
        .permissions()
        .mode()
        & 0o777
}

/// A coordinator or an agent that runs as long as this lives.
pub(crate) struct Serving {
    child: Child,
}

impl Serving {
    /// Starts `entente WHAT --config F` and waits for its ready document. Its log goes to `F` with the ending `.log`.
    pub(crate) fn start(what: &str, config: &Path) -> (Self, Value) {
        let mut command = command([what]);
        Self::begin(&mut command, what, config)
    }

    /// The same for a process that a limit on the size of files does not kill: writing fails then, as on a full disk.
    pub(crate) fn start_where_the_disk_may_be_full(what: &str, config: &Path) -> (Self, Value) {
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .args([env!("CARGO_BIN_EXE_entente"), what])
            .env_remove("ENTENTE_CONFIG")
            .env("NO_COLOR", "1");
        Self::begin(&mut command, what, config)
    }

    /// From now on it can write nothing to any file, or it can again.
    pub(crate) fn fill_disk(&self, is_full: bool) {
        let limit = if is_full { "0:" } else { "unlimited:" };
        let id = self.id().to_string();
        let mut command = Command::new("prlimit");
        command.args(["--pid", &id, &format!("--fsize={limit}")]);
        finish(command).expect(0);
    }

    fn begin(command: &mut Command, what: &str, config: &Path) -> (Self, Value) {
        let log = config.with_extension("log");
        let to_log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log);
        command
            .args(["--json", "--until-stdin-closes", "--config"])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(to_log.expect("a log"));
        let mut child = command.spawn().expect("the binary starts");
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let serving = Self { child };
        let (send, ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let mut byte = [0; 1024];
            while let Ok(n) = stdout.read(&mut byte) {
                text.extend_from_slice(&byte[..n]);
                if n == 0 || serde_json::from_slice::<Value>(&text).is_ok() {
                    break;
                }
            }
            let _ = send.send(text);
        });
        let text = ready.recv_timeout(HANG).unwrap_or_default();
        let document = serde_json::from_slice(&text).unwrap_or_else(|_| {
            panic!(
                "{what} does not start: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            )
        });
        (serving, document)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
