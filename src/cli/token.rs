//! `sfexport token` prints an access token for other tools, or the assertion to request one. No other command shows them.

use std::io::IsTerminal;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Context, complete, print};
use crate::client::OrgClient;
use crate::config::Selection;
use crate::error::{Exit, Failure};
use crate::export::Edges;
use crate::key::{self, SigningKey};
use crate::org::Org;
use crate::salesforce::assertion;
use crate::salesforce::token::Session;

#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    /// The org to log in to, if the configuration has several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Log in as this user, who must be pre-authorized too
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    /// Print lines for a shell's eval: SF_ACCESS_TOKEN, SF_INSTANCE_URL, SF_API_VERSION
    #[arg(long)]
    shell: bool,
    /// Show the signed assertion, its header and its claims, and do not log in
    #[arg(long, conflicts_with = "shell")]
    assertion: bool,
}

/// A successful login.
pub(super) struct Login {
    pub(super) client: OrgClient,
    pub(super) session: Arc<Session>,
    pub(super) edges: Arc<Edges>,
}

/// Logs in to this org as its user or another user.
pub(super) async fn logged_in(
    context: &Context,
    org: Option<&str>,
    user: Option<&str>,
) -> Result<Login, Failure> {
    let (org, key, edges) = prepared(context, org, user)?;
    let client = OrgClient::new(Arc::new(org), Arc::new(key), Arc::clone(&edges), None);
    let session = context.unless_stopped(client.session()).await?;
    let session = session.map_err(|error| error.fault.into_failure())?;
    Ok(Login { client, session, edges })
}

fn prepared(
    context: &Context,
    org: Option<&str>,
    user: Option<&str>,
) -> Result<(Org, SigningKey, Arc<Edges>), Failure> {
    let config = context.config(&Selection::NoJobs)?;
    let mut org = config.org(org)?.clone();
    if let Some(user) = user {
        user.clone_into(&mut org.username);
    }
    let key = key::load(&org)?;
    Ok((org, key, context.edges(&config.settings, None)))
}

#[derive(Serialize)]
struct Granted<'g> {
    access_token: &'g str,
    token_type: &'static str,
    instance_url: &'g str,
    api_version: &'g str,
    username: &'g str,
    scopes: Vec<&'g str>,
    granted: Timestamp,
    expires: Option<Timestamp>,
    expiry: &'static str,
}

/// The response to a JWT bearer login has no `expires_in`.
const EXPIRY: &str = "unknown: a session expires after the session timeout (2 hours unless the org or the app sets \
                      another) without a request";

#[derive(Serialize)]
struct Signed<'s> {
    assertion: &'s str,
    header: &'s RawValue,
    claims: &'s RawValue,
    expires: Option<Timestamp>,
    token_url: String,
}

/// Prints a token, or an assertion.
pub(super) async fn token(arguments: &TokenArguments, context: &Context) -> Result<Exit, Failure> {
    let (org, user) = (arguments.org.as_deref(), arguments.user.as_deref());
    if arguments.assertion {
        return show_assertion(context, org, user);
    }
    let login = logged_in(context, org, user).await?;
    let (org, session) = (login.client.org(), &login.session);
    warn_of_the_screen(
        context,
        "the token is visible on this screen, and anyone who has it can act as that user until the session ends",
    );
    let access_token = session.access_token.expose_secret();
    if arguments.shell {
        for (name, value) in [
            ("SF_ACCESS_TOKEN", access_token),
            ("SF_INSTANCE_URL", &session.instance_url),
            ("SF_API_VERSION", &org.api_version),
        ] {
            print::line(format!("export {name}={}", shell_quoted(value)));
        }
        return Ok(Exit::Success);
    }
    print::json(&Granted {
        access_token,
        token_type: "Bearer",
        instance_url: &session.instance_url,
        api_version: &org.api_version,
        username: &org.username,
        scopes: session.scopes.as_deref().unwrap_or_default().split_whitespace().collect(),
        granted: login.edges.clock.now(),
        expires: None,
        expiry: EXPIRY,
    });
    Ok(Exit::Success)
}

fn show_assertion(context: &Context, org: Option<&str>, user: Option<&str>) -> Result<Exit, Failure> {
    let (org, key, edges) = prepared(context, org, user)?;
    let signed = assertion::sign(&org, key.encoding_key(), edges.clock.now())?;
    let decoded = assertion::decode(&signed)
        .ok_or_else(|| Failure::new(Exit::General, "a bug in sfexport: its own assertion cannot be read"))?;
    warn_of_the_screen(
        context,
        "the assertion is visible on this screen, and anyone who has it can log in as that user for 3 minutes",
    );
    print::json(&Signed {
        assertion: signed.expose_secret(),
        header: &decoded.header,
        claims: &decoded.claims,
        expires: decoded.expires,
        token_url: format!("{}{}", org.login_url, crate::salesforce::token::PATH),
    });
    Ok(Exit::Success)
}

fn warn_of_the_screen(context: &Context, text: &str) {
    if std::io::stdout().is_terminal() {
        print::warning(context.common.log_format, None, text);
    }
}

/// A text, quoted for a POSIX shell.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
