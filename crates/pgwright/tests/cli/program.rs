//! How do the tests call pgwright, and what do they see of it? Both outputs and the exit code,
//! always shown together when something is not as expected.

use std::ffi::OsStr;
use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A user's account: a home and a working folder that nobody else has.
pub struct User {
    directory: tempfile::TempDir,
    /// Where programs are looked for.
    path: std::ffi::OsString,
}

/// What a call left behind.
#[derive(Clone)]
pub struct Output {
    pub call: String,
    pub stdout: String,
    pub stderr: String,
    /// `None` after a signal.
    pub code: Option<i32>,
}

impl User {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("pgwright-user").tempdir_in("/tmp").unwrap();
        std::fs::create_dir(directory.path().join("work")).unwrap();
        Self { directory, path: std::env::var_os("PATH").unwrap_or_default() }
    }

    /// Who has PostgreSQL of every version that the tests know, and the newest client programs.
    pub fn with_every_version() -> Self {
        let mut user = Self::new();
        let folders = testkit::program_folders().into_iter().chain(std::env::split_paths(&user.path));
        user.path = std::env::join_paths(folders.collect::<Vec<_>>()).unwrap();
        user
    }

    /// The working folder.
    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// A file in the working folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file into the working folder.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A call of pgwright that knows nothing of the environment of the tests.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgwright"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.directory.path())
            .env("XDG_STATE_HOME", self.directory.path().join("state"))
            .env("USER", "postgres")
            .env("COLUMNS", "200")
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Calls pgwright and waits for its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Output {
        finish(&mut self.command(arguments))
    }

    /// Calls pgwright with a text on its standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(&self, arguments: &[S], input: &str) -> Output {
        let mut command = self.command(arguments);
        let call = call_of(&command);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        wait(call, child)
    }

    /// Starts pgwright and does not wait.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        let mut command = self.command(arguments);
        let call = call_of(&command);
        Running { call, child: Some(command.spawn().unwrap()), told: String::new() }
    }
}

/// Runs a prepared call to its end.
pub fn finish(command: &mut Command) -> Output {
    let call = call_of(command);
    wait(call, command.spawn().unwrap())
}

fn call_of(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    format!("pgwright {}", arguments.join(" "))
}

fn wait(call: String, child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    Output {
        call,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// A pgwright that is at work; it does not outlive the test.
pub struct Running {
    call: String,
    child: Option<Child>,
    /// What was read of its stderr already.
    told: String,
}

impl Running {
    /// Sends a signal by its name, `INT` or `KILL`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until it has said something on stderr.
    pub fn wait_to_tell(&mut self, text: &str) {
        let stderr = self.child.as_mut().unwrap().stderr.as_mut().unwrap();
        let mut byte = [0];
        while !self.told.contains(text) {
            assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it never said {text:?} but {}", self.told);
            self.told.push(char::from(byte[0]));
        }
    }

    /// What it has said on stderr, as far as it was waited for.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Output {
        let output = wait(self.call.clone(), self.child.take().unwrap());
        Output { stderr: format!("{}{}", self.told, output.stderr), ..output }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Output {
    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n{self}");
        self
    }

    /// Asserts an error as `docs` promise it: the exit code, nothing that looks like data, one
    /// factual lower-case line, and nothing of Rust's own.
    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        let output = self.exits(code);
        let error = output.error();
        assert!(error.starts_with("error: "), "\n{output}");
        let message = error["error: ".len()..].lines().next().unwrap_or_default();
        let first = message.split(' ').next().unwrap_or_default();
        let name = first == "PostgreSQL" || first.chars().all(char::is_uppercase);
        assert!(name || !first.starts_with(char::is_uppercase), "not lower-case: {message}\n{output}");
        assert!(!message.ends_with('.'), "ends with a full stop: {message}\n{output}");
        for line in error.lines().skip(1).filter(|l| l.starts_with("  detail: ") || l.starts_with("  hint: "))
        {
            let text = line.split_once(": ").unwrap().1;
            assert!(!text.contains(".."), "two full stops: {line}\n{output}");
        }
        for foreign in ["Error {", "Some(", "panicked", "RUST_BACKTRACE", "Os {"] {
            assert!(!output.stderr.contains(foreign), "shows {foreign}\n{output}");
        }
        output
    }

    /// The error with its detail and hint, without status lines before it.
    pub fn error(&self) -> &str {
        match self.stderr.find("error: ") {
            Some(at) => self.stderr[at..].trim_end(),
            None => "",
        }
    }

    /// The error with what differs from run to run masked.
    pub fn error_with(&self, mask: &[(&str, &str)]) -> String {
        masked(self.error(), mask)
    }

    /// The lines of stdout that start with a mark, each with the indented lines after it.
    pub fn lines_with(&self, mark: &str, mask: &[(&str, &str)]) -> String {
        let mut inside = false;
        let mut out = String::new();
        for line in self.stdout.lines() {
            inside = line.starts_with(mark) || (inside && line.starts_with("      "));
            if inside {
                out.push_str(line);
                out.push('\n');
            }
        }
        masked(&out, mask)
    }

    /// Asserts that stdout holds a text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}\n{self}");
        self
    }

    /// Asserts that stderr holds a text.
    #[track_caller]
    pub fn tells(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}\n{self}");
        self
    }

    /// The one JSON object of stdout, with its schema asserted.
    #[track_caller]
    pub fn json(&self, schema: &str) -> serde_json::Value {
        let value: serde_json::Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not one JSON value: {e}\n{self}"));
        assert_eq!(value["schema"], format!("pgwright.{schema}"), "\n{self}");
        assert_eq!(value["schema_version"], 1, "\n{self}");
        value
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |c| c.to_string());
        write!(
            f,
            "$ {}\n--- stdout\n{}\n--- stderr\n{}\n--- exit code {code}\n",
            self.call, self.stdout, self.stderr
        )
    }
}

/// A text with parts replaced, the longer ones first.
pub fn masked(text: &str, mask: &[(&str, &str)]) -> String {
    let mut mask = mask.to_vec();
    mask.sort_by_key(|(part, _)| std::cmp::Reverse(part.len()));
    mask.iter().fold(text.to_owned(), |text, (part, name)| text.replace(part, name))
}
