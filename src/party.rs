//! `entente party`: who is there.

use crate::cli::{ConfigArg, PartyCommand, PingArgs};
use crate::init::party_name;
use crate::locate::ConfigFile;
use crate::outcome::{Exit, Outcome, Reply};
use crate::table::grid;
use party_agent::api::types::{Party, Ping, PingRequest};
use serde_json::json;

pub(crate) async fn run(what: PartyCommand) -> Outcome<Reply> {
    match what {
        PartyCommand::List(argument) => list(&argument).await,
        PartyCommand::Ping(arguments) => ping(&arguments).await,
    }
}

async fn list(argument: &ConfigArg) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(argument)?.client()?;
    let parties: Vec<Party> = client.get("/v1/parties").await?;
    let rows = parties.iter().map(|party| {
        vec![
            party.name.to_string(),
            if party.is_self {
                "this party".to_owned()
            } else {
                trust(party).to_owned()
            },
            if party.online { "online" } else { "offline" }.to_owned(),
            party
                .reachable_at
                .clone()
                .unwrap_or_else(|| "through the relay".to_owned()),
        ]
    });
    let header = ["party", "key", "agent", "reached"]
        .map(str::to_owned)
        .to_vec();
    let mut text = grid(header, rows.collect());
    for party in parties
        .iter()
        .filter(|party| !party.is_self && party.pinned.is_none())
    {
        text += &format!(
            "to trust {}: entente keys trust {} SHA256:… with the fingerprint that it reads to you\n",
            party.name, party.name
        );
    }
    Ok(Reply::new(&json!({ "parties": parties }), text))
}

fn trust(party: &Party) -> &'static str {
    match (&party.pinned, &party.known) {
        (None, _) => "not trusted here",
        (Some(pinned), Some(known)) if pinned != known => "ANOTHER KEY than the trusted one",
        (Some(_), Some(_)) => "trusted",
        (Some(_), None) => "trusted here, unknown to the coordinator",
    }
}

async fn ping(arguments: &PingArgs) -> Outcome<Reply> {
    let client = ConfigFile::locate_agent(&arguments.config)?.client()?;
    let names = match &arguments.name {
        Some(name) => vec![party_name(name, "NAME")?],
        None => {
            let parties: Vec<Party> = client.get("/v1/parties").await?;
            parties
                .into_iter()
                .filter(|party| !party.is_self)
                .map(|party| party.name)
                .collect()
        }
    };
    let mut pings: Vec<Ping> = Vec::with_capacity(names.len());
    for party in names {
        pings.push(
            client
                .post("/v1/parties/ping", &PingRequest { party })
                .await?,
        );
    }
    let all_online = pings.iter().all(|ping| ping.online);
    let text: String = pings.iter().map(ping_text).collect();
    let reply = Reply::new(&json!({ "pings": pings }), text);
    Ok(if all_online {
        reply
    } else {
        reply.with_exit(Exit::PeerLost)
    })
}

fn ping_text(ping: &Ping) -> String {
    let ms = |ms: f64| format!("{ms:.1} ms");
    let mut text = format!(
        "{}: {}",
        ping.party,
        if ping.online {
            "online"
        } else {
            "OFFLINE (its agent is not connected)"
        }
    );
    if let Some(coordinator) = ping.coordinator_ms {
        text += &format!("; coordinator {}", ms(coordinator));
    }
    match &ping.direct {
        None => text += "; through the relay",
        Some(direct) => match (direct.round_trip_ms, &direct.why) {
            (Some(round_trip), _) => {
                text += &format!("; direct {} {}", direct.address, ms(round_trip))
            }
            (None, why) => {
                let why = why.as_deref().unwrap_or("no answer");
                text += &format!(
                    "; not directly at {} ({why}), so through the relay",
                    direct.address
                );
            }
        },
    }
    text + "\n"
}
