//! Who may ask the coordinator for what: every message that opens a stream and every call, asked by everybody. The table in
//! `endpoints.txt` is what was agreed; its rows are those of the message types themselves, so that a new one has to be added to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coordinator::config::Limits;
use coordinator::contract::{
    Acceptance, CatalogueDoc, Contract, PartyName, Published, Rejection, Signed,
};
use coordinator::control::codec::MAX_FRAME_BYTES;
use coordinator::control::stream::{FrameReader, FrameWriter, StreamError};
use coordinator::control::{
    Answer, Call, CloseCode, Event, FromCoordinator, Hello, Opening, OpeningReply, Request,
};
use coordinator::tls::{ALPN, Identity, SERVER_NAME, Trouble, client_config, endpoint};
use serde::de::value::Error as Stop;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};

use crate::support::{
    World, acceptance, completed, contract, expect, identity, name, reject, wait_for, within,
};
use crate::tls::stranger;

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Takes from a message type the names of its variants, which is all that it wants to read.
struct Names<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop::custom("not an enumeration"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        self.0.extend(variants);
        Err(Stop::custom("the names are all that is wanted"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn variants<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut names = Vec::new();
    assert!(T::deserialize(Names(&mut names)).is_err());
    names
}

/// Who asks, from the least to the most that anybody is. The job is between `a`, who proposed it, and `b`.
const ROLES: [Role; 5] = [
    Role::NoCertificate,
    Role::UnknownKey,
    Role::Member,
    Role::Party,
    Role::Proposer,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    NoCertificate,
    UnknownKey,
    Member,
    Party,
    Proposer,
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Self::NoCertificate => "no certificate",
            Self::UnknownKey => "unknown key",
            Self::Member => "member",
            Self::Party => "party of the job",
            Self::Proposer => "its proposer",
        }
    }

    fn is_known(self) -> bool {
        !matches!(self, Self::NoCertificate | Self::UnknownKey)
    }
}

/// What stands in the table where nobody is let in who has not proved a member's key.
const NOBODY: &str = "no connection";

struct Scene {
    world: World,
    /// Nobody's member.
    unknown: Arc<Identity>,
    /// From here everybody dials.
    dialling: quinn::Endpoint,
    jobs: u8,
}

/// Whether a statement is made in the asker's own name.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Own,
    Another,
}

impl Scene {
    fn identity(&self, role: Role) -> &Arc<Identity> {
        match role {
            Role::Proposer => &self.world.parties[0],
            Role::Party => &self.world.parties[1],
            Role::Member => &self.world.parties[2],
            // Whoever has no certificate still signs with some key.
            Role::UnknownKey | Role::NoCertificate => &self.unknown,
        }
    }

    /// Somebody else than the asker, with a part in the job.
    fn other(&self, role: Role) -> &Arc<Identity> {
        &self.world.parties[usize::from(role == Role::Proposer)]
    }

    /// Sends an opening and, on the control stream, a request, without waiting to be let in; the first that comes back counts.
    async fn ask(&self, role: Role, hello: &PartyName, last: Ask) -> String {
        let config = match role {
            Role::NoCertificate => stranger(ALPN),
            _ => {
                let server = expect(&self.world.coordinator);
                client_config(self.identity(role), Arc::new(server))
            }
        };
        let address = self.world.address;
        let connecting = self.dialling.connect_with(config, address, SERVER_NAME);
        let Ok(connection) = connecting.unwrap().await else {
            return NOBODY.to_owned();
        };
        let found = within("an answer", asked(&connection, hello, last)).await;
        let found = match found {
            Ok(found) => found,
            Err(_) => match Trouble::of(&connection.closed().await) {
                Trouble::Closed { code } => format!("{:?}", CloseCode::from_code(code).unwrap()),
                Trouble::PeerRefused | Trouble::Handshake { .. } => NOBODY.to_owned(),
                other => panic!("{role:?}: {other:?}"),
            },
        };
        CloseCode::Goodbye.close(&connection);
        found
    }

    /// A job that `a` has just proposed.
    async fn job(&mut self) -> Contract {
        self.jobs += 1;
        let [a, b] = [&self.world.parties[0], &self.world.parties[1]];
        let contract = contract(&[a, b], self.jobs);
        let signed = Signed::sign(&contract, a).unwrap();
        let told = self.call(Role::Proposer, Call::Propose(signed)).await;
        assert_eq!(told, "State Proposed");
        contract
    }

    async fn call(&self, role: Role, call: Call) -> String {
        let hello = self.identity(role).name().clone();
        self.ask(role, &hello, Ask::Call(Box::new(call))).await
    }

    /// The call of this name, about a job of `a` and `b`.
    fn make(&self, what: &str, whose: Whose, role: Role, job: &Contract) -> Call {
        let me = self.identity(role);
        let speaker = match whose {
            Whose::Own => me,
            Whose::Another => self.other(role),
        };
        let job_id = job.job_id;
        match what {
            "PublishCatalogue" => {
                let doc = CatalogueDoc {
                    party: speaker.name().clone(),
                    version: u64::from(self.jobs),
                    body: "{}".into(),
                    directed: Vec::new(),
                };
                let catalogue = Signed::sign(&doc, me).unwrap();
                let directed = Vec::new();
                Call::PublishCatalogue(Published {
                    catalogue,
                    directed,
                })
            }
            "Directory" => Call::Directory,
            "Catalogue" => Call::Catalogue { party: name("a") },
            "Propose" => {
                let mut both = [me, self.other(role)];
                both.sort_by_key(|identity| identity.name().clone());
                let mut contract = contract(&both, self.jobs + 128);
                contract.proposer = speaker.name().clone();
                Call::Propose(Signed::sign(&contract, me).unwrap())
            }
            "Accept" => {
                let accepted: Acceptance = acceptance(job, speaker);
                Call::Accept(Signed::sign(&accepted, me).unwrap())
            }
            "Reject" => {
                // Signed by whoever asks, whoever it speaks for.
                let body = reject(job, speaker).verify(&speaker.fingerprint());
                let rejection: Rejection = body.unwrap();
                Call::Reject(Signed::sign(&rejection, me).unwrap())
            }
            "Report" => Call::Report {
                job_id,
                outcome: completed(),
            },
            "Witness" => Call::Witness {
                job_id,
                seen: "{}".into(),
            },
            "Cancel" => Call::Cancel { job_id },
            "Jobs" => Call::Jobs,
            "JobStatus" => Call::JobStatus { job_id },
            "Addresses" => Call::Addresses { job_id },
            other => panic!("a new call, {other}: say who may make it"),
        }
    }

    async fn row(&mut self, what: &str, whose: Whose) -> [String; 5] {
        let mut cells = Vec::new();
        for role in ROLES {
            let job = self.job().await;
            let call = self.make(what, whose, role, &job);
            cells.push(self.call(role, call).await);
            // Members may have so many open jobs and no more.
            let job_id = job.job_id;
            self.call(Role::Proposer, Call::Cancel { job_id }).await;
        }
        cells.try_into().expect("a cell for each role")
    }

    /// A leg of the relay to somebody else of a running job, whose parties are there.
    async fn relay_row(&mut self) -> [String; 5] {
        let mut cells = Vec::new();
        for role in ROLES {
            let job = self.job().await;
            let accepted = |role| {
                let own = acceptance(&job, self.identity(role));
                Signed::sign(&own, self.identity(role)).unwrap()
            };
            let mut others = Vec::new();
            for (at, party) in [Role::Proposer, Role::Party].into_iter().enumerate() {
                if party != role {
                    let (client, mut events) = self.world.connect(at);
                    wait_for(&mut events, |event| *event == Event::Synchronised).await;
                    client.accept(accepted(party)).await.unwrap();
                    others.push((client, events));
                }
            }
            let is_party = others.len() == 1;
            let first = is_party.then(|| Box::new(Call::Accept(accepted(role))));
            let opening = Opening::Relay {
                job_id: job.job_id,
                peer: self.other(role).name().clone(),
            };
            let hello = self.identity(role).name().clone();
            cells.push(self.ask(role, &hello, Ask::Leg(first, opening)).await);
            for (client, events) in others {
                client.close();
                events.closed().await;
            }
        }
        cells.try_into().expect("a cell for each role")
    }

    async fn control_row(&self, whose: Whose) -> [String; 5] {
        let mut cells = Vec::new();
        for role in ROLES {
            let hello = match whose {
                Whose::Own => self.identity(role),
                Whose::Another => self.other(role),
            };
            cells.push(self.ask(role, hello.name(), Ask::Welcome).await);
        }
        cells.try_into().expect("a cell for each role")
    }
}

/// What is wanted of a connection.
enum Ask {
    /// To be let in.
    Welcome,
    /// The answer to a call.
    Call(Box<Call>),
    /// The answer to the opening of a second stream, after a call.
    Leg(Option<Box<Call>>, Opening),
}

async fn asked(
    connection: &quinn::Connection,
    hello: &PartyName,
    ask: Ask,
) -> Result<String, StreamError> {
    let stream = || async { connection.open_bi().await.map_err(|_| StreamError::Gone) };
    let (send, recv) = stream().await?;
    let (mut writer, mut reader) = (FrameWriter::new(send), FrameReader::new(recv));
    let opening = Opening::Control(Hello {
        name: hello.clone(),
        software: "test".into(),
        reachable_at: None,
    });
    writer.write(&opening).await?;
    match ask {
        Ask::Welcome => {
            let reply: OpeningReply = reader.read(MAX_FRAME_BYTES).await?;
            assert!(matches!(reply, OpeningReply::Welcome { .. }), "{reply:?}");
            Ok("Welcome".to_owned())
        }
        Ask::Call(call) => {
            let (told, _) = answered(&mut writer, &mut reader, *call).await?;
            Ok(told)
        }
        Ask::Leg(first, opening) => {
            if let Some(call) = first {
                let (_, mut is_started) = answered(&mut writer, &mut reader, *call).await?;
                while !is_started {
                    let told: FromCoordinator = reader.read(MAX_FRAME_BYTES).await?;
                    is_started = matches!(told, FromCoordinator::Event(Event::Start(_)));
                }
            }
            let (send, recv) = stream().await?;
            let (mut writer, mut leg) = (FrameWriter::new(send), FrameReader::new(recv));
            writer.write(&opening).await?;
            let reply: OpeningReply = leg.read(MAX_FRAME_BYTES).await?;
            match reply {
                OpeningReply::RelayRefused(refusal) => Ok(variant(&refusal)),
                other => panic!("nobody is at the other end: {other:?}"),
            }
        }
    }
}

/// What is answered to a call on a control stream that has just been opened, and whether a job was started before that.
async fn answered(
    writer: &mut FrameWriter,
    reader: &mut FrameReader,
    call: Call,
) -> Result<(String, bool), StreamError> {
    writer.write(&Request { id: 7, call }).await?;
    let _: OpeningReply = reader.read(MAX_FRAME_BYTES).await?;
    let mut is_started = false;
    loop {
        let result = match reader.read(MAX_FRAME_BYTES).await? {
            FromCoordinator::Reply { id: 7, result } => result,
            told => {
                is_started |= matches!(told, FromCoordinator::Event(Event::Start(_)));
                continue;
            }
        };
        let told = match result {
            Ok(Answer::State(state)) => format!("State {}", variant(&state)),
            Ok(answer) => variant(&answer),
            Err(error) => variant(&error),
        };
        return Ok((told, is_started));
    }
}

/// The name of a value's variant.
fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// These calls carry a statement that names who makes it.
const SIGNED: [&str; 4] = ["PublishCatalogue", "Propose", "Accept", "Reject"];

async fn rows(scene: &mut Scene) -> Vec<(String, [String; 5])> {
    let mut rows = Vec::new();
    for opening in variants::<Opening>() {
        match opening {
            "Control" => {
                let own = scene.control_row(Whose::Own).await;
                rows.push((opening.to_owned(), own));
                let another = scene.control_row(Whose::Another).await;
                rows.push((format!("{opening}, in another's name"), another));
            }
            "Relay" => rows.push((opening.to_owned(), scene.relay_row().await)),
            other => panic!("a new opening, {other}: say who may send it"),
        }
    }
    for call in variants::<Call>() {
        rows.push((call.to_owned(), scene.row(call, Whose::Own).await));
        if SIGNED.contains(&call) {
            let another = scene.row(call, Whose::Another).await;
            rows.push((format!("{call}, in another's name"), another));
        }
    }
    rows
}

fn table(rows: &[(String, [String; 5])]) -> String {
    let head = ROLES.map(|role| role.words().to_owned());
    let head = [("asks for".to_owned(), head)];
    let line = |(what, cells): &(String, [String; 5])| {
        let mut line = format!("{what:36}");
        for cell in cells {
            line += &format!(" {cell:18}");
        }
        line.trim_end().to_owned() + "\n"
    };
    head.iter().chain(rows).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_what_the_table_says_and_strangers_get_nothing() {
    let mut limits = Limits::default();
    limits.relay.wait = Duration::from_millis(100);
    let mut scene = Scene {
        world: World::start(&["a", "b", "c"], limits).await,
        unknown: identity("d"),
        dialling: endpoint(ANY, None).unwrap(),
        jobs: 0,
    };
    let rows = rows(&mut scene).await;
    for (what, cells) in &rows {
        for (role, cell) in ROLES.iter().zip(cells) {
            // Whoever has proved no member's key has no connection, so there is nothing that it may ask for. What it is told is
            // which protocol is spoken here (ALPN), by the handshake itself.
            assert_eq!(
                role.is_known(),
                cell != NOBODY,
                "{what} by {role:?}: {cell}"
            );
        }
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/endpoints.txt");
    let (found, expected) = (
        table(&rows),
        fs::read_to_string(&golden).unwrap_or_default(),
    );
    assert_eq!(found, expected, "{} is now:\n{found}", golden.display());
}
