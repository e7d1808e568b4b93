//! E-mail, as plain text.
//!
//! Source: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 8314 (TLS from the beginning).

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::{ATTEMPT, reason_of, secret};
use crate::message::Message;
use crate::settings::{Encryption, ReceiverSettings};

/// A way to a mail server, with who writes to whom.
pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

// The transport holds the password.
impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("to", &self.to).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Puts it together; nothing is connected yet.
    ///
    /// # Errors
    /// What is missing or cannot be used, in a sentence.
    pub fn new(settings: &ReceiverSettings) -> Result<Self, String> {
        if settings.url.is_some() || settings.url_file.is_some() || settings.token_file.is_some() {
            return Err(
                "\"url\", \"url_file\" and \"token_file\" are not for e-mail; the server is \"smtp\".".into(),
            );
        }
        let address = settings.smtp.as_deref().ok_or("It needs \"smtp\", the server for outgoing mail.")?;
        let mailbox = |text: &str| {
            text.parse::<Mailbox>().map_err(|e| format!("\"{text}\" is no address for e-mail: {e}."))
        };
        let from = mailbox(settings.from.as_deref().ok_or("It needs \"from\", who writes.")?)?;
        let to = settings.to.iter().map(|text| mailbox(text)).collect::<Result<Vec<_>, _>>()?;
        if to.is_empty() {
            return Err("It needs \"to\", a list of those who get it.".into());
        }
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) => {
                let port = port.parse::<u16>().map_err(|_| format!("\"{port}\" is no port."))?;
                (host, Some(port))
            }
            None => (address, None),
        };
        let unusable = |e: lettre::transport::smtp::Error| format!("{}.", reason_of(&e));
        let encryption = settings.encryption.unwrap_or(Encryption::Starttls);
        let mut builder = match encryption {
            Encryption::Starttls => {
                AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(unusable)?
            }
            Encryption::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(unusable)?,
            Encryption::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
        };
        if let Some(port) = port {
            builder = builder.port(port);
        }
        match (&settings.user, &settings.password_file) {
            (Some(_), Some(_)) if encryption == Encryption::None => {
                return Err("A password is not sent over a connection that is not encrypted.".into());
            }
            (Some(user), Some(file)) => {
                builder = builder.credentials(Credentials::new(user.clone(), secret(file)?));
            }
            (None, None) => {}
            _ => return Err("\"user\" and \"password_file\" go together.".into()),
        }
        Ok(Self { transport: builder.timeout(Some(ATTEMPT)).build(), from, to })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, message: &Message) -> Result<(), String> {
        let mut builder = MessageBuilder::new()
            .from(self.from.clone())
            .subject(message.heading())
            .header(ContentType::TEXT_PLAIN);
        for mailbox in &self.to {
            builder = builder.to(mailbox.clone());
        }
        let mail = builder.body(text(message)).map_err(|e| reason_of(&e))?;
        // Each attempt has its own time-out; the whole conversation has one as well.
        match tokio::time::timeout(ATTEMPT * 3, self.transport.send(mail)).await {
            Ok(sent) => sent.map(|_| ()).map_err(|e| reason_of(&e)),
            Err(_) => Err("the mail server did not answer in time".into()),
        }
    }
}

fn text(message: &Message) -> String {
    let line = |(line, address): (String, Option<&str>)| match address {
        Some(address) => vec![line, format!("  {address}")],
        None => vec![line],
    };
    let mut lines: Vec<String> = message.lines().into_iter().flat_map(line).collect();
    let advice = message.advice();
    if !advice.is_empty() {
        lines.push(String::new());
        lines.extend(advice.iter().map(|(what, told)| format!("{what}: {told}")));
    }
    lines.push(String::new());
    lines.extend(message.notices().take(20).map(|n| n.labels.to_string()));
    lines.join("\r\n") + "\r\n"
}
