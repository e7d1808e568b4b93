//! How do many statements reach a server of pgwright's own without waiting for each other's answers?
//!
//! Source: PostgreSQL manual, "Pipelining" (of the extended query protocol). `tokio-postgres` sends a
//! request when its future is first polled and keeps the answers apart; so all futures are polled once, in
//! order, before the first is waited for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio_postgres::Client;

/// Runs requests of one connection, in this order, and gives their answers.
pub async fn all<F: Future>(requests: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    enum Sent<F: Future> {
        Waiting(std::pin::Pin<Box<F>>),
        Done(F::Output),
    }
    let mut sent = Vec::new();
    for request in requests {
        let mut request = Box::pin(request);
        sent.push(match poll_fn(|context| Poll::Ready(request.as_mut().poll(context))).await {
            Poll::Ready(output) => Sent::Done(output),
            Poll::Pending => Sent::Waiting(request),
        });
    }
    let mut answers = Vec::with_capacity(sent.len());
    for request in sent {
        answers.push(match request {
            Sent::Done(output) => output,
            Sent::Waiting(request) => request.await,
        });
    }
    answers
}

/// Runs two different requests of one connection in this order.
pub async fn two<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let one = poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await;
    let other = poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await;
    let one = match one {
        Poll::Ready(output) => output,
        Poll::Pending => first.await,
    };
    let other = match other {
        Poll::Ready(output) => output,
        Poll::Pending => second.await,
    };
    (one, other)
}

/// Runs exactly one statement: the extended protocol refuses two.
///
/// # Errors
/// What the server says.
pub async fn one(client: &Client, sql: &str) -> Result<(), tokio_postgres::Error> {
    client.query_typed(sql, &[]).await.map(drop)
}

/// Runs statements in one transaction, all or none.
///
/// # Errors
/// The first error, and which statement it is of.
pub async fn together<'a>(
    client: &Client,
    statements: impl IntoIterator<Item = &'a str>,
) -> Result<(), (usize, tokio_postgres::Error)> {
    let batch = ["BEGIN"].into_iter().chain(statements).chain(["COMMIT"]);
    // After an error the transaction runs nothing more, and COMMIT rolls back.
    let answers = all(batch.map(|sql| one(client, sql))).await;
    match answers.into_iter().enumerate().find_map(|(at, answer)| Some((at, answer.err()?))) {
        Some((at, error)) => Err((at.saturating_sub(1), error)),
        None => Ok(()),
    }
}
