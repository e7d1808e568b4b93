//! What does a scrape get?

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use exporter::Format;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::Site;

pub(crate) async fn answer(
    State(site): State<Arc<Site>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    told(peer, &headers, |format| site.app.exporter.scrape(format))
}

/// What is scraped, in the format that is asked for.
pub(crate) fn told(
    peer: SocketAddr,
    headers: &HeaderMap,
    scrape: impl FnOnce(Format) -> Vec<u8>,
) -> Response {
    let accepted = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let format = Format::accepted(accepted(header::ACCEPT));
    let scraped = scrape(format);
    let content_type = (header::CONTENT_TYPE, format.content_type());
    // Within one machine compressing costs more than it saves.
    let compressed =
        accepted(header::ACCEPT_ENCODING).is_some_and(|v| v.contains("gzip")) && !peer.ip().is_loopback();
    if compressed && let Ok(body) = gzip(&scraped) {
        return ([content_type, (header::CONTENT_ENCODING, "gzip")], body).into_response();
    }
    ([content_type], scraped).into_response()
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 10), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
