//! `[serve]` of pgwright.toml: the options of `serve`, for who does not want to write them each time. What the command line says
//! comes first.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::Args;
use crate::commands::{duration, history_store};

/// `[serve]`; each key is the option of that name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSettings {
    listen: Option<SocketAddr>,
    servers: Option<PathBuf>,
    token_file: Option<PathBuf>,
    users_file: Option<PathBuf>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    proxy_header: Option<String>,
    proxy_address: Vec<IpAddr>,
    proxy_operator: Vec<String>,
    database: Vec<String>,
    queries: Vec<PathBuf>,
    statements: Option<usize>,
    /// `--plans`.
    plans: Option<usize>,
    objects: Option<usize>,
    #[serde(deserialize_with = "durations")]
    interval: Vec<(String, Duration)>,
    #[serde(deserialize_with = "durations")]
    timeout: Vec<(String, Duration)>,
    without: Vec<String>,
    #[serde(deserialize_with = "one_duration")]
    sampling: Option<Duration>,
    log: Option<PathBuf>,
    #[serde(deserialize_with = "one_duration")]
    fixes: Option<Duration>,
    history: bool,
    store: Option<String>,
    source: Option<String>,
    #[serde(deserialize_with = "kept")]
    keep: Vec<(history::Level, Duration)>,
    compat: bool,
}

fn one_duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    duration(&text).map(Some).map_err(D::Error::custom)
}

/// A table whose entries are what the option wants as NAME=DURATION.
fn named<'de, D: serde::Deserializer<'de>, T>(
    deserializer: D,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    let table = BTreeMap::<String, String>::deserialize(deserializer)?;
    table.iter().map(|(name, value)| read(&format!("{name}={value}")).map_err(D::Error::custom)).collect()
}

fn durations<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Duration)>, D::Error> {
    named(deserializer, super::named_duration)
}

fn kept<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(history::Level, Duration)>, D::Error> {
    named(deserializer, history_store::retention)
}

impl Args {
    /// The options, with those of the file where the command line says nothing.
    pub(super) fn completed_by(mut self, file: &ServeSettings) -> Self {
        fn option<T: Clone>(given: &mut Option<T>, file: &Option<T>) {
            if given.is_none() {
                given.clone_from(file);
            }
        }
        fn list<T: Clone>(given: &mut Vec<T>, file: &[T]) {
            if given.is_empty() {
                given.extend_from_slice(file);
            }
        }
        option(&mut self.listen, &file.listen);
        option(&mut self.servers, &file.servers);
        option(&mut self.token_file, &file.token_file);
        option(&mut self.users_file, &file.users_file);
        option(&mut self.tls_cert, &file.tls_cert);
        option(&mut self.tls_key, &file.tls_key);
        option(&mut self.proxy_header, &file.proxy_header);
        list(&mut self.proxy_address, &file.proxy_address);
        list(&mut self.proxy_operator, &file.proxy_operator);
        list(&mut self.databases, &file.database);
        list(&mut self.queries, &file.queries);
        option(&mut self.statements, &file.statements);
        option(&mut self.plans, &file.plans);
        option(&mut self.objects, &file.objects);
        list(&mut self.interval, &file.interval);
        list(&mut self.timeout, &file.timeout);
        list(&mut self.without, &file.without);
        option(&mut self.sampling, &file.sampling);
        option(&mut self.log, &file.log);
        option(&mut self.fixes, &file.fixes);
        self.keeping.history |= file.history;
        option(&mut self.keeping.at.store, &file.store);
        option(&mut self.keeping.at.source, &file.source);
        list(&mut self.keeping.keep, &file.keep);
        self.compat |= file.compat;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_command_line_has_its_key() {
        use clap::Args as _;
        let command = Args::augment_args(clap::Command::new("serve"));
        // What ends at once is asked for on the command line.
        let not_kept = ["hash-password", "list", "help"];
        for argument in command.get_arguments().filter_map(|a| a.get_long()).filter(|a| !not_kept.contains(a))
        {
            let key = argument.replace('-', "_");
            // Of a key that is unknown it is said so; of a known one that a map is not its type.
            let refused =
                toml::from_str::<ServeSettings>(&format!("{key} = {{ x = {{}} }}")).unwrap_err().to_string();
            assert!(!refused.contains("unknown field"), "{key}: {refused}");
        }
    }

    #[test]
    fn the_command_line_comes_first() {
        use clap::{Args as _, FromArgMatches as _};
        let file: ServeSettings = toml::from_str(
            "listen = \"127.0.0.1:1\"\nwithout = [\"jobs\"]\nsampling = \"1s\"\nhistory = true\n\
             [interval]\ntables = \"5m\"\n[keep]\nraw = \"1d\"\n",
        )
        .unwrap();
        let given = |arguments: &[&str]| {
            let command = Args::augment_args(clap::Command::new("serve"));
            let matches = command.get_matches_from(["serve"].iter().chain(arguments));
            Args::from_arg_matches(&matches).unwrap().completed_by(&file)
        };
        let args = given(&[]);
        assert_eq!(args.listen.unwrap().port(), 1);
        assert_eq!(
            (args.without.as_slice(), args.sampling),
            (&["jobs".to_owned()][..], Some(Duration::from_secs(1)))
        );
        assert_eq!(args.interval, [("tables".to_owned(), Duration::from_secs(300))]);
        assert!(args.keeping.history && args.keeping.keep.len() == 1);
        let args = given(&["--listen", "127.0.0.1:2", "--without", "tables"]);
        assert_eq!((args.listen.unwrap().port(), args.without), (2, vec!["tables".to_owned()]));
        assert!(toml::from_str::<ServeSettings>("listn = 1").is_err());
        assert!(toml::from_str::<ServeSettings>("sampling = \"soon\"").is_err());
    }
}
