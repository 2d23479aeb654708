//! Who may ask an agent for what. The rows of `endpoints.txt` are those of the router itself, and of the listener for other agents;
//! whoever adds an endpoint adds it there.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use coordinator::contract::{Digest, JobId, PublicKey, SignatureBytes};
use coordinator::tls::{Expect, Identity, SERVER_NAME, Trouble, client_config, endpoint};
use party_agent::agent::Mode;
use party_agent::api::endpoints;
use party_agent::net::close::{Ending, Objection};
use party_agent::net::handshake::Hello;
use protocols::party::Seat;

use crate::http::{call, raw};
use crate::world::{World, name, within};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An address as the router has it, filled in with what does not exist.
fn filled(path: &str) -> String {
    let path = path.replace("{id}", &"0".repeat(32));
    path.replace("{name}", "nothing")
}

/// What the API says to a request without a token, with another agent's, and with its own.
async fn heard(address: SocketAddr, tokens: [&str; 2], endpoint: &str) -> [String; 3] {
    let (method, path) = endpoint.split_once(' ').expect("a method and a path");
    let path = filled(path);
    let bare = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    let mut said = vec![raw(address, bare.as_bytes()).await.status];
    for token in tokens {
        said.push(call(address, token, method, &path, "{}").await.status);
    }
    let words = said.into_iter().map(|status| match status {
        401 => "no".to_owned(),
        404 if !endpoints().contains(&endpoint.to_owned()) => "nothing there".to_owned(),
        405 => "nothing there".to_owned(),
        _ => "yes".to_owned(),
    });
    let words: Vec<String> = words.collect();
    words.try_into().expect("three answers")
}

/// How the listener for other agents ends a connection of this key which begins with these bytes.
async fn called(listener: SocketAddr, agent: &Expect, caller: &Identity, first: &[u8]) -> String {
    let dialling = endpoint(ANY, None).expect("a socket");
    let config = client_config(caller, Arc::new(agent.clone()));
    let connecting = dialling.connect_with(config, listener, SERVER_NAME);
    let Ok(connection) = connecting.expect("a call").await else {
        return "no connection".to_owned();
    };
    let held = connection.open_bi().await;
    if let Ok((mut send, _)) = held {
        // A connection that is refused takes no bytes.
        let _ = send.write_all(first).await;
        let _ = send.finish();
    }
    let ended = within("the listener ends it", connection.closed()).await;
    match (Ending::of(&ended), Trouble::of(&ended)) {
        (Some(Ending::Refused(Objection::UnknownJob)), _) => "no such job".to_owned(),
        (Some(Ending::Refused(Objection::Malformed)), _) => "not understood".to_owned(),
        (None, Trouble::PeerRefused) => "no connection".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// A greeting for a job that nobody has agreed to.
fn greeting(caller: &Identity) -> Vec<u8> {
    let hello = Hello {
        job_id: JobId([5; 16]),
        contract: Digest([1; 32]),
        plan: Digest([2; 32]),
        session: [3; 32],
        epoch: None,
        from: Seat(1),
        to: Seat(0),
        n_seats: 2,
        key: PublicKey(caller.public_key().0),
        signature: SignatureBytes([4; 64]),
    };
    hello.encode().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_gets_what_the_table_says() {
    let world = World::new(&["a", "b"]).await;
    let agents = [
        world.agent("a", Mode::Production, true).await,
        world.agent("b", Mode::Production, true).await,
    ];
    agents[0].sees(&["a", "b"]).await;
    let (address, token) = agents[0].api();
    let mut table = format!(
        "{:40} {:14} {:14} {}\n",
        "local API", "no token", "another's", "its token"
    );
    let elsewhere = [
        "GET /v1/nowhere",
        "GET /",
        "DELETE /v1/jobs/{id}",
        "OPTIONS /v1/jobs",
    ];
    let elsewhere = elsewhere.map(str::to_owned);
    for endpoint in endpoints().iter().chain(&elsewhere) {
        let said = heard(address, [agents[1].api().1, token], endpoint).await;
        assert_eq!(&said[..2], ["no", "no"], "{endpoint}");
        table += &format!("{endpoint:40} {:14} {:14} {}\n", said[0], said[1], said[2]);
    }
    let status = agents[0].get("/v1/status").await.json();
    let listener = status["direct"].as_str().and_then(|a| a.parse().ok());
    let listener: SocketAddr = listener.unwrap_or_else(|| panic!("{status}"));
    let expected = Expect {
        name: name("a"),
        fingerprint: world.identity("a").fingerprint(),
    };
    let stranger = Identity::generate(name("c"), 1).expect("an identity");
    table += &format!(
        "\n{:40} {:14} {}\n",
        "listener for agents", "unknown key", "trusted party"
    );
    let noise = b"GET / HTTP/1.1\r\n".repeat(40);
    for what in ["a greeting for a job", "other bytes"] {
        let mut said = Vec::new();
        for caller in [&stranger, &**world.identity("b")] {
            let first = match what {
                "other bytes" => noise.clone(),
                _ => greeting(caller),
            };
            said.push(called(listener, &expected, caller, &first).await);
        }
        assert_eq!(said[0], "no connection", "{what}");
        table += &format!("{what:40} {:14} {}\n", said[0], said[1]);
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/endpoints.txt");
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(table, expected, "{} is now:\n{table}", golden.display());
    for agent in agents {
        agent.stop().await;
    }
}
