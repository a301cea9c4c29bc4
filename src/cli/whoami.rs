//! `sfexport whoami` shows the user of a login and its scopes.

use clap::Args;
use serde::Serialize;

use super::token::logged_in;
use super::{Context, complete, print};
use crate::error::{Exit, Failure, plain};
use crate::salesforce::fault::Fault;

#[derive(Debug, Args)]
pub(super) struct WhoamiArguments {
    /// The org to ask, if the configuration has several
    #[arg(long, value_name = "NAME", add = complete::orgs())]
    org: Option<String>,
    /// Log in as this user, who must be pre-authorized too
    #[arg(long, value_name = "USERNAME")]
    user: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Who<'w> {
    org: &'w str,
    username: &'w str,
    name: Option<&'w str>,
    email: Option<&'w str>,
    user_id: &'w str,
    user_type: Option<&'w str>,
    timezone: Option<&'w str>,
    locale: Option<&'w str>,
    organization_id: &'w str,
    instance_url: &'w str,
    login_url: &'w str,
    api_version: &'w str,
    scopes: Vec<&'w str>,
}

/// Logs in and prints the identity.
pub(super) async fn whoami(arguments: &WhoamiArguments, context: &Context) -> Result<Exit, Failure> {
    let login = logged_in(context, arguments.org.as_deref(), arguments.user.as_deref()).await?;
    let (org, session) = (login.client.org(), &login.session);
    let identity = context.unless_stopped(login.client.identity()).await?.map_err(Fault::into_failure)?;
    let who = Who {
        org: org.name.as_str(),
        username: identity.username.as_deref().unwrap_or(&org.username),
        name: identity.name.as_deref(),
        email: identity.email.as_deref(),
        user_id: &identity.user_id,
        user_type: identity.user_type.as_deref(),
        timezone: identity.timezone.as_deref(),
        locale: identity.locale.as_deref(),
        organization_id: &identity.organization_id,
        instance_url: &session.instance_url,
        login_url: &org.login_url,
        api_version: &org.api_version,
        scopes: session.scopes.as_deref().unwrap_or_default().split_whitespace().collect(),
    };
    if arguments.json {
        print::json(&who);
        return Ok(Exit::Success);
    }
    let name = who.name.map(|name| format!(" ({})", plain(name))).unwrap_or_default();
    let kind = who.user_type.map(|kind| format!(", {}", plain(kind))).unwrap_or_default();
    print::line(format!("user      {}{name}, {}{kind}", plain(who.username), plain(who.user_id)));
    print::line(format!("org       {}, {} in the configuration", plain(who.organization_id), who.org));
    print::line(format!("instance  {}", plain(who.instance_url)));
    match who.scopes.is_empty() {
        true => print::line("scopes    unknown"),
        false => print::line(format!("scopes    {}", plain(&who.scopes.join(" ")))),
    }
    Ok(Exit::Success)
}
