//! A login, and single questions to the org that it leads to: what a run, `check`, `whoami` and `token` share.
//! How a run renews its session and follows its pages is the business of `export`.

use jiff::Timestamp;

use crate::clock::Clock;
use crate::http::{Answer, Http, Request};
use crate::key::SigningKey;
use crate::org::Org;
use crate::report::ApiLimit;
use crate::retry::{Attempts, Decision, RetryPolicy};
use crate::salesforce::assertion;
use crate::salesforce::fault::{self, Fault, FaultKind};
use crate::salesforce::identity::{self, Identity};
use crate::salesforce::token::{self, LoginError, Session};

/// The request that logs in: a freshly signed assertion for the org's login host.
///
/// # Errors
/// Where the key cannot sign.
pub fn request(org: &Org, key: &SigningKey, now: Timestamp) -> Result<Request<'static>, Fault> {
    let assertion = assertion::sign(org, key.encoding_key(), now)
        .map_err(|failure| Fault::new(FaultKind::Configuration, failure.what))?;
    let url = format!("{}{}", org.login_url, token::PATH);
    Ok(Request { url, token: None, form: Some(token::form(&assertion)), batch_size: None })
}

/// Reads the login host's answer.
///
/// # Errors
/// Whatever kept the login from being granted, with what the operator must change where that is known, and which
/// refusal it was.
pub async fn read(mut answer: Answer, org: &Org) -> Result<Session, LoginError> {
    let body = answer.body().await?;
    let mut error = match answer.status {
        200 => return Ok(token::read(&body, org)?),
        status => token::error(status, &body, org),
    };
    error.fault.retry_after = answer.head().retry_after;
    Err(error)
}

/// Logs in, once: signs an assertion and asks the org's login host for a token.
///
/// # Errors
/// As [`request`] and [`read`].
pub async fn log_in(org: &Org, key: &SigningKey, http: &Http, now: Timestamp) -> Result<Session, LoginError> {
    read(http.send(request(org, key, now)?).await?, org).await
}

/// Logs in as often as the policy allows, waiting in between.
///
/// # Errors
/// As [`log_in`], of the last attempt.
pub async fn log_in_patiently(
    org: &Org,
    key: &SigningKey,
    http: &Http,
    clock: &dyn Clock,
    retry: &RetryPolicy,
) -> Result<Session, Fault> {
    let mut attempts = Attempts::default();
    loop {
        let fault = match log_in(org, key, http, clock.now()).await {
            Ok(session) => return Ok(session),
            Err(error) => error.fault,
        };
        let Decision::Wait(wait) = attempts.after(&fault, retry, clock.fraction()) else { return Err(fault) };
        tracing::warn!(attempt = attempts.spent(), wait = wait.as_secs_f64(), fault = %fault, "trying again");
        clock.sleep(wait).await;
    }
}

/// The body of an answer, and what the org said of its API limit beside it.
#[derive(Debug)]
pub struct ApiResponse {
    /// The body.
    pub body: Vec<u8>,
    /// The limit.
    pub limit: Option<ApiLimit>,
}

/// Asks the session's own instance one question, once: a GET of this path.
///
/// # Errors
/// Whatever is not an answer of status 200 with a body of its own.
pub async fn ask(
    http: &Http,
    session: &Session,
    api_version: &str,
    path: &str,
) -> Result<ApiResponse, Fault> {
    let request = Request {
        url: format!("{}{path}", session.instance_url),
        token: Some(&session.access_token),
        form: None,
        batch_size: None,
    };
    let mut answer = http.send(request).await?;
    let body = answer.body().await?;
    if answer.status != 200 {
        return Err(fault::read(answer.head(), &body, api_version));
    }
    if answer.is_html() {
        return Err(Fault::new(FaultKind::Truncated, "the org answered with a page of HTML"));
    }
    Ok(ApiResponse { body, limit: answer.limit })
}

/// Who the session's user is, asked at its own instance: the token goes nowhere else, so not to the host of the
/// identity URL. Where the app's scopes do not let the org tell, the ids that the login named are what is known.
///
/// # Errors
/// Where the org could not be asked, or where neither it nor the login told.
pub async fn identity(http: &Http, session: &Session, api_version: &str) -> Result<Identity, Fault> {
    let named = session.identity_url.as_deref().and_then(identity::of_url);
    match ask(http, session, api_version, identity::PATH).await {
        Ok(told) => identity::read(&told.body).or(named).ok_or_else(|| {
            Fault::new(
                FaultKind::Truncated,
                "the org's answer to the question who the user is makes no sense",
            )
        }),
        Err(fault) => match (fault.kind, named) {
            (FaultKind::QueryRefused | FaultKind::Configuration, Some(named)) => Ok(named),
            _ => Err(fault),
        },
    }
}
