//! The local HTTP API that the command line talks to.
//!
//! It listens on a loopback address and wants the token from a file that only this user can read. Everything
//! is JSON under `/v1`; [`types`] has the documents and [`Problem`] the errors.

mod problem;
mod token;
pub mod types;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::handler::Handler;
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use axum::{Json, Router};
use coordinator::contract::{JobId, PartyName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::agent::Core;
use crate::approve::Earlier;
use crate::ledger::JobState;
use crate::spec;
use coordinator::contract::PersonalApproval;
use types::{
    ApproveRequest, ApprovedBy, Checked, DatasetRequest, HaltRequest, Halted, Job, JobDetail,
    Party, Ping, PingRequest, Planned, RejectRequest, ResumeRequest, SpecRequest, Status,
    Submitted,
};

pub use problem::{FaultLine, Problem};
pub(crate) use token::Token;

/// Longest request body: a job file and some.
const MAX_BODY: usize = 2 << 20;

/// Longest time that a request waits for a job to change.
const MAX_WAIT_S: u64 = 60;

type Shared = State<Arc<Core>>;
type Answer<T> = Result<Json<T>, Problem>;

/// Serves until told to stop.
pub(crate) async fn serve(
    socket: TcpListener,
    core: Arc<Core>,
    token: Token,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let served = axum::serve(socket, router(core, token));
    served
        .with_graceful_shutdown(async move {
            // An error means that the agent is gone.
            let _ = stopped.wait_for(|stop| *stop).await;
        })
        .await
}

/// What the API answers to: a method, a path under `/v1`, and who answers.
struct Endpoint {
    method: Method,
    path: &'static str,
    handler: MethodRouter<Arc<Core>>,
}

impl Endpoint {
    fn of<H, T>(method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Core>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method of HTTP");
        Self {
            method,
            path,
            handler: on(filter, handler),
        }
    }
}

/// Every endpoint as `METHOD /v1/path`, in the order of the router, which is made from the same list.
#[must_use]
pub fn endpoints() -> Vec<String> {
    let endpoints = all().into_iter();
    endpoints
        .map(|e| format!("{} /v1{}", e.method, e.path))
        .collect()
}

fn all() -> Vec<Endpoint> {
    vec![
        Endpoint::of(Method::GET, "/status", status),
        Endpoint::of(Method::GET, "/parties", parties),
        Endpoint::of(Method::POST, "/parties/ping", ping),
        Endpoint::of(Method::GET, "/halt", halted),
        Endpoint::of(Method::POST, "/halt", halt),
        Endpoint::of(Method::POST, "/halt/lift", lift),
        Endpoint::of(Method::GET, "/datasets", datasets),
        Endpoint::of(Method::POST, "/datasets", add_dataset),
        Endpoint::of(Method::GET, "/datasets/{name}", dataset),
        Endpoint::of(Method::GET, "/datasets/{name}/commitment", commitment),
        Endpoint::of(Method::GET, "/catalogue", catalogue),
        Endpoint::of(Method::GET, "/catalogue/dcat", dcat),
        Endpoint::of(Method::GET, "/jobs", jobs),
        Endpoint::of(Method::POST, "/jobs", submit),
        Endpoint::of(Method::POST, "/jobs/check", check),
        Endpoint::of(Method::POST, "/jobs/plan", plan),
        Endpoint::of(Method::GET, "/jobs/{id}", job),
        Endpoint::of(Method::GET, "/jobs/{id}/plan", plan_of),
        Endpoint::of(Method::POST, "/jobs/{id}/approve", approve),
        Endpoint::of(Method::GET, "/jobs/{id}/approval", approval),
        Endpoint::of(Method::POST, "/jobs/{id}/reject", reject),
        Endpoint::of(Method::POST, "/jobs/{id}/cancel", cancel),
        Endpoint::of(Method::POST, "/jobs/{id}/resume", resume),
        Endpoint::of(Method::POST, "/jobs/{id}/revoke", revoke),
        Endpoint::of(Method::GET, "/jobs/{id}/result", result),
        Endpoint::of(Method::GET, "/jobs/{id}/receipt", receipt),
        Endpoint::of(Method::GET, "/jobs/{id}/page", page_of),
        Endpoint::of(Method::GET, "/jobs/{id}/egress", egress),
        Endpoint::of(Method::GET, "/jobs/{id}/contract", contract),
        Endpoint::of(Method::GET, "/jobs/{id}/evidence", evidence),
    ]
}

fn router(core: Arc<Core>, token: Token) -> Router {
    let token = Arc::new(token);
    let mut v1 = Router::new();
    for endpoint in all() {
        v1 = v1.route(endpoint.path, endpoint.handler);
    }
    Router::new()
        .nest("/v1", v1)
        .fallback(|| async { Problem::missing("unknown_path", "there is nothing at this address") })
        .layer(middleware::from_fn(move |request: Request, next: Next| {
            let token = Arc::clone(&token);
            async move { authorised(&token, request, next).await }
        }))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(core)
}

async fn authorised(token: &Token, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| token.matches(given)) {
        return next.run(request).await;
    }
    let what = "the request does not carry this agent's token";
    Problem::new(
        crate::execute::exit::USAGE,
        StatusCode::UNAUTHORIZED,
        "unauthorised",
        what,
    )
    .advice("use the configuration of the agent that runs here, and run as the same user")
    .into_response()
}

/// A JSON body, with errors as [`Problem`]s.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::BytesRejection(e)) => Err(Problem::new(
                crate::execute::exit::USAGE,
                e.status(),
                "body",
                "the request is too large or broke off",
            )),
            Err(e) => Err(Problem::usage("body", e.body_text())),
        }
    }
}

async fn status(State(core): Shared) -> Json<Status> {
    Json(core.status())
}

async fn parties(State(core): Shared) -> Answer<Vec<Party>> {
    Ok(Json(core.parties().await?))
}

async fn ping(State(core): Shared, Body(request): Body<PingRequest>) -> Answer<Ping> {
    Ok(Json(core.ping(&request.party).await?))
}

async fn datasets(State(core): Shared) -> Answer<Vec<types::Dataset>> {
    Ok(Json(core.datasets().await?))
}

async fn add_dataset(
    State(core): Shared,
    Body(request): Body<DatasetRequest>,
) -> Answer<types::Dataset> {
    Ok(Json(core.add_dataset(&request).await?))
}

async fn dataset(
    State(core): Shared,
    Path(name): Path<String>,
) -> Answer<crate::catalogue::TableEntry> {
    Ok(Json(core.dataset(&name).await?))
}

async fn commitment(State(core): Shared, Path(name): Path<String>) -> Answer<types::Committed> {
    Ok(Json(core.committed(&name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueQuery {
    #[serde(default)]
    words: String,
}

async fn catalogue(
    State(core): Shared,
    Query(query): Query<CatalogueQuery>,
) -> Answer<Vec<types::Listed>> {
    Ok(Json(core.find(&query.words).await?))
}

async fn dcat(
    State(core): Shared,
    Query(query): Query<CatalogueQuery>,
) -> Answer<serde_json::Value> {
    let found = core.find(&query.words).await?;
    Ok(Json(crate::catalogue::dcat(&found)))
}

async fn check(Body(request): Body<SpecRequest>) -> Answer<Checked> {
    let checked = spec::check(&request.spec).map_err(|faults| Problem::spec(&faults))?;
    Ok(Json(Checked {
        job: checked.job,
        purpose: checked.purpose,
        receivers: checked.receivers.iter().map(ToString::to_string).collect(),
    }))
}

async fn plan(State(core): Shared, Body(request): Body<SpecRequest>) -> Answer<Planned> {
    Ok(Json(core.plan(&request.spec).await?))
}

async fn submit(State(core): Shared, Body(request): Body<SpecRequest>) -> Answer<Submitted> {
    let earlier = request.supersedes.map_or(Earlier::No, Earlier::Superseded);
    let job_id = core
        .submit(&request.spec, request.by.as_deref(), earlier)
        .await?;
    Ok(Json(Submitted { job_id }))
}

async fn resume(
    State(core): Shared,
    Path(id): Path<String>,
    Body(request): Body<ResumeRequest>,
) -> Answer<Submitted> {
    let job_id = core.resume(job_id(&id)?, request.by.as_deref()).await?;
    Ok(Json(Submitted { job_id }))
}

async fn jobs(State(core): Shared) -> Answer<Vec<Job>> {
    Ok(Json(core.jobs().await?))
}

/// With `unless` and `wait_s`, answers as soon as the job is in another state, or after so many seconds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobQuery {
    unless: Option<JobState>,
    #[serde(default)]
    wait_s: u64,
}

async fn job(
    State(core): Shared,
    Path(id): Path<String>,
    Query(query): Query<JobQuery>,
) -> Answer<JobDetail> {
    let job_id = job_id(&id)?;
    if let Some(state) = query.unless {
        let patience = Duration::from_secs(query.wait_s.min(MAX_WAIT_S));
        core.wait_unless(job_id, state, patience).await?;
    }
    Ok(Json(core.job(job_id).await?))
}

async fn plan_of(State(core): Shared, Path(id): Path<String>) -> Answer<Planned> {
    Ok(Json(core.plan_of(job_id(&id)?).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonQuery {
    by: PartyName,
}

async fn approval(
    State(core): Shared,
    Path(id): Path<String>,
    Query(query): Query<PersonQuery>,
) -> Answer<PersonalApproval> {
    Ok(Json(core.approval(job_id(&id)?, query.by).await?))
}

async fn approve(
    State(core): Shared,
    Path(id): Path<String>,
    Body(request): Body<ApproveRequest>,
) -> Answer<ApprovedBy> {
    let job_id = job_id(&id)?;
    let missing = core
        .approve(job_id, request.by.as_deref(), request.signed.as_ref())
        .await?;
    Ok(Json(ApprovedBy { job_id, missing }))
}

async fn reject(
    State(core): Shared,
    Path(id): Path<String>,
    Body(request): Body<RejectRequest>,
) -> Answer<Submitted> {
    let job_id = job_id(&id)?;
    core.reject_by_person(job_id, &request.reason).await?;
    Ok(Json(Submitted { job_id }))
}

async fn cancel(State(core): Shared, Path(id): Path<String>) -> Answer<Submitted> {
    let job_id = job_id(&id)?;
    core.cancel(job_id).await?;
    Ok(Json(Submitted { job_id }))
}

async fn revoke(
    State(core): Shared,
    Path(id): Path<String>,
    Body(request): Body<RejectRequest>,
) -> Answer<Submitted> {
    let job_id = job_id(&id)?;
    core.revoke(job_id, &request.reason).await?;
    Ok(Json(Submitted { job_id }))
}

async fn halt(State(core): Shared, Body(request): Body<HaltRequest>) -> Answer<Halted> {
    Ok(Json(core.halt(&request.by, &request.reason).await?))
}

async fn lift(State(core): Shared) -> Answer<Halted> {
    Ok(Json(core.lift().await?))
}

async fn halted(State(core): Shared) -> Answer<Halted> {
    Ok(Json(core.halted().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultQuery {
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Csv,
    MatchedKeys,
}

async fn result(
    State(core): Shared,
    Path(id): Path<String>,
    Query(query): Query<ResultQuery>,
) -> Result<Response, Problem> {
    let (file, kind) = match query.format {
        Format::Json => ("result.json", "application/json"),
        Format::Csv => ("result.csv", "text/csv; charset=utf-8"),
        Format::MatchedKeys => (crate::result::MATCHED_KEYS_FILE, "text/csv; charset=utf-8"),
    };
    let bytes = core.result_file(job_id(&id)?, file).await?;
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

async fn receipt(State(core): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let text = core.receipt(job_id(&id)?).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    lang: crate::page::Language,
}

async fn page_of(
    State(core): Shared,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Answer<types::PageDocument> {
    Ok(Json(core.page(job_id(&id)?, query.lang).await?))
}

async fn egress(State(core): Shared, Path(id): Path<String>) -> Answer<types::Egress> {
    Ok(Json(core.egress(job_id(&id)?).await?))
}

async fn contract(State(core): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let bytes = core.agreement(job_id(&id)?).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

async fn evidence(State(core): Shared, Path(id): Path<String>) -> Result<Response, Problem> {
    let bytes = core.evidence(job_id(&id)?).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

fn job_id(text: &str) -> Result<JobId, Problem> {
    text.parse().map_err(|_| {
        Problem::usage("job_id", "this is not a job id")
            .advice("32 hexadecimal digits; `entente job list` shows them")
    })
}
