//! The local agent's HTTP API, as the commands call it: loopback, bearer token, JSON.

use crate::outcome::{Failure, Outcome};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// The longest that an answer of the local agent is waited for.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A connection's particulars; each request makes its own connection, so a client never goes stale.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: String,
    /// How to start the agent, for the message when nobody listens.
    start_hint: String,
}

/// A name as one part of a path: whatever is not plain is percent-encoded.
pub(crate) fn escaped(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.bytes()
        .map(|byte| {
            if plain(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

impl Client {
    pub(crate) fn new(address: SocketAddr, token: &str, start_hint: impl Into<String>) -> Self {
        Self {
            address,
            token: token.trim().to_owned(),
            start_hint: start_hint.into(),
        }
    }

    /// GET, answered by a document of type `T`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.parse(path, &self.request(Method::GET, path, Bytes::new()).await?)
    }

    /// GET, answered by a document that is passed on unread.
    pub(crate) async fn get_text(&self, path: &str) -> Outcome<String> {
        let body = self.request(Method::GET, path, Bytes::new()).await?;
        String::from_utf8(body.to_vec()).map_err(|_| self.unreadable(path))
    }

    /// POST of a document, answered by another.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Outcome<T> {
        let body = serde_json::to_vec(body).expect("requests have string keys only");
        self.parse(
            path,
            &self.request(Method::POST, path, Bytes::from(body)).await?,
        )
    }

    async fn request(&self, method: Method, path: &str, body: Bytes) -> Outcome<Bytes> {
        let (status, body) = tokio::time::timeout(ANSWER_LIMIT, self.exchange(method, path, body))
            .await
            .map_err(|_| {
                Failure::runtime("agent_slow", "the agent did not answer in time")
                    .at(self.place(path))
            })??;
        if status.is_success() {
            return Ok(body);
        }
        let failure = serde_json::from_slice::<Value>(&body)
            .ok()
            .as_ref()
            .and_then(Failure::from_document);
        Err(failure.unwrap_or_else(|| {
            Failure::runtime("agent_answer", format!("the agent answered {status}"))
                .at(self.place(path))
                .advice("is that port an Entente agent of this version? see `entente doctor`")
        }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Outcome<(StatusCode, Bytes)> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|_| self.nobody_there())?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|_| self.nobody_there())?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| {
                Failure::usage(
                    "request",
                    format!("not a request that can be sent: {error}"),
                )
            })?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| self.broke_off(path))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await;
        let body = body.map_err(|_| self.broke_off(path))?.to_bytes();
        connection.abort();
        Ok((status, body))
    }

    fn parse<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Outcome<T> {
        serde_json::from_slice(body).map_err(|_| self.unreadable(path))
    }

    fn place(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn nobody_there(&self) -> Failure {
        Failure::runtime("agent_not_running", "the agent does not run")
            .at(format!("http://{}", self.address))
            .advice(format!("start it: {}", self.start_hint))
    }

    fn broke_off(&self, path: &str) -> Failure {
        Failure::runtime("agent_stopped", "the agent broke off its answer")
            .at(self.place(path))
            .advice("look at the agent's log; jobs that were running are named there")
    }

    fn unreadable(&self, path: &str) -> Failure {
        Failure::runtime("agent_answer", "the agent's answer cannot be read")
            .at(self.place(path))
            .advice("the agent may be of another version; compare `entente --version` with the agent's log")
    }
}
