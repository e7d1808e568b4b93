//! As whom, and how, does one talk to the twin?
//!
//! A snapshot may come from somebody else, and its functions run on this machine while statements
//! are planned. So schema and statements belong to a role that is not a superuser: it cannot touch
//! files or run programs. The superuser only writes catalogs.

use tokio_postgres::Client;

use crate::error::Error;

/// The database that is the twin.
pub(crate) const DATABASE: &str = "twin";
/// The role that owns everything in it and plans.
pub(crate) const OWNER: &str = "pgwright_twin";

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    Superuser,
    Owner,
}

/// Connects and drives the connection in the background until the client is dropped.
pub(crate) async fn connect(server: &cluster::Server, database: &str, who: As) -> Result<Client, Error> {
    let role = (who == As::Owner).then_some(OWNER);
    Ok(schema::connect(server, database, role).await?)
}
