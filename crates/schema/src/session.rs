//! As whom, and how, does one talk to a local server?
//!
//! A snapshot may come from somebody else, and its functions run on this machine while statements are
//! planned. So schema and statements belong to a role that is not a superuser: it cannot touch files or run
//! programs.

use tokio_postgres::{Client, NoTls};

use crate::error::Error;

/// Connects as a role, or as the superuser without one, and drives the connection in the background until
/// the client is dropped.
///
/// # Errors
/// When the server cannot be reached.
pub async fn connect(server: &cluster::Server, database: &str, role: Option<&str>) -> Result<Client, Error> {
    let mut config: tokio_postgres::Config =
        server.url(database).parse().map_err(Error::sql("reading the local server's address"))?;
    if let Some(role) = role {
        config.user(role);
    }
    config.application_name("pgwright");
    // The texts of values in a snapshot were made with these.
    config.options(
        "-c datestyle=ISO,YMD -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1 -c bytea_output=hex \
         -c xmlbinary=base64 -c jit=off",
    );
    let (client, connection) = config.connect(NoTls).await.map_err(Error::sql("connecting"))?;
    tokio::spawn(connection);
    Ok(client)
}
