//! `entente keys invite`, `apply`, `admit` and `accept`: how a party becomes known by way of one that is known, in files that
//! people hand on; and `entente keys rotate`, by which it changes over to another key.

use crate::cli::{InviteArgs, RotateArgs, TakeArgs, VouchedArgs};
use crate::init::{CERTIFICATE_DAYS, party_name, write_new};
use crate::keys::{Keys, load_pins, succeed_coordinator};
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::clock::{Clock as _, SystemClock};
use coordinator::contract::Signed;
use coordinator::enrol::{self, Application, EnrolError, Handover, Invite, Invites, Membership};
use coordinator::tls::{Identity, IdentityError, Pin, Pins};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Name of the book of invites, beside the list of trusted keys.
const BOOK: &str = "invites.toml";

/// A configuration's key, and the keys that it trusts.
struct Desk {
    keys: Keys,
    identity: Identity,
    trusted: PathBuf,
    pins: Pins,
}

impl Desk {
    fn open(config: &ConfigFile) -> Outcome<Self> {
        let keys = Keys::read(config)?;
        let identity = Identity::load(&keys.identity).map_err(|error| {
            Failure::usage("identity", error.to_string()).at(keys.identity.display().to_string())
        })?;
        let trusted = keys.trusted_file()?;
        let pins = match trusted.exists() {
            true => load_pins(&trusted)?,
            false => Pins::new(),
        };
        Ok(Self {
            keys,
            identity,
            trusted,
            pins,
        })
    }

    fn book(&self) -> Outcome<Invites> {
        Invites::open(&self.trusted.with_file_name(BOOK)).map_err(failed)
    }

    fn save(&self) -> Outcome<()> {
        self.pins.save(&self.trusted).map_err(|error| {
            Failure::runtime("write", error.to_string()).at(self.trusted.display().to_string())
        })
    }
}

pub(crate) fn invite(arguments: &InviteArgs) -> Outcome<Reply> {
    let party = party_name(&arguments.name, "NAME")?;
    let desk = Desk::open(&ConfigFile::locate(&arguments.config)?)?;
    let now = SystemClock.now_unix_s();
    let seconds = u64::from(arguments.days) * 86_400;
    let made = desk
        .book()?
        .make(party.clone(), seconds, &desk.identity, now);
    let signed = made.map_err(failed)?;
    write(&arguments.out, &signed)?;
    let text = format!(
        "an invite for {party}, for one use within {} days: {}\n{party} answers it with: entente keys apply {}\n",
        arguments.days,
        arguments.out.display(),
        arguments.out.display()
    );
    let document = json!({ "party": party, "not_after": now + seconds, "file": arguments.out });
    Ok(Reply::new(&document, text))
}

pub(crate) fn apply(arguments: &TakeArgs) -> Outcome<Reply> {
    let desk = Desk::open(&ConfigFile::locate(&arguments.config)?)?;
    let invite: Signed<Invite> = read(&arguments.file)?;
    let claimed = invite.verify(&coordinator::tls::Fingerprint::of(&invite.public_key()));
    let sponsor = claimed.map_err(|error| {
        failed(EnrolError::Signature {
            what: "invite",
            error,
        })
    })?;
    let sponsor = sponsor.sponsor;
    let coordinator = desk.keys.coordinator_pin();
    let coordinator = coordinator.filter(|pin| pin.name == sponsor);
    let pin: Option<Pin> = desk.pins.find(&sponsor).cloned().or(coordinator);
    let pin = pin.ok_or_else(|| {
        failed(EnrolError::UnknownSponsor {
            sponsor: sponsor.clone(),
        })
    })?;
    let now = SystemClock.now_unix_s();
    let signed = enrol::apply(&invite, &pin, &desk.identity, now).map_err(failed)?;
    write(&arguments.out, &signed)?;
    let text = format!(
        "an answer for {sponsor}: {}\n{sponsor} takes it in with: entente keys admit {}\n",
        arguments.out.display(),
        arguments.out.display()
    );
    Ok(Reply::new(
        &json!({ "sponsor": sponsor, "file": arguments.out }),
        text,
    ))
}

pub(crate) fn admit(arguments: &TakeArgs) -> Outcome<Reply> {
    let mut desk = Desk::open(&ConfigFile::locate(&arguments.config)?)?;
    let application: Signed<Application> = read(&arguments.file)?;
    let mut book = desk.book()?;
    let now = SystemClock.now_unix_s();
    let admitted = book.admit(&application, (&desk.identity, &mut desk.pins), now);
    let signed = admitted.map_err(failed)?;
    desk.save()?;
    write(&arguments.out, &signed)?;
    let key = coordinator::tls::Fingerprint::of(&application.public_key());
    let name = desk.pins.name_of(&key).cloned();
    let name = name.map_or_else(String::new, |name| name.to_string());
    let text = format!(
        "{name} is trusted here with {key}\nthe others take your word for it with: entente keys accept {}\n",
        arguments.out.display()
    );
    let document = json!({ "name": name, "fingerprint": key, "file": arguments.out });
    Ok(Reply::new(&document, text))
}

pub(crate) fn accept(arguments: &VouchedArgs) -> Outcome<Reply> {
    let config = ConfigFile::locate(&arguments.config)?;
    let mut desk = Desk::open(&config)?;
    if let Ok(handover) = serde_json::from_str(&read_text(&arguments.file)?) {
        return take_over(desk, &config, &handover);
    }
    let membership: Signed<Membership> = read(&arguments.file)?;
    let known = enrol::trust(&membership, &mut desk.pins).map_err(failed)?;
    desk.save()?;
    let text = format!(
        "{} is trusted with {}, on the word of {}\n",
        known.party, known.fingerprint, known.sponsor
    );
    Ok(Reply::new(&known, text))
}

/// Takes in that a trusted party, or the coordinator, has a new key.
fn take_over(mut desk: Desk, config: &ConfigFile, handover: &Handover) -> Outcome<Reply> {
    let now = SystemClock.now_unix_s();
    let party = handover.verify().map_err(failed)?.party;
    let coordinator = desk.keys.coordinator_pin().filter(|pin| pin.name == party);
    let is_party = desk.pins.find(&party).is_some();
    let said = match &coordinator {
        Some(pin) => succeed(config, pin.clone(), handover, now)?,
        None => handover.accept(&mut desk.pins, now).map_err(failed)?,
    };
    // A coordinator that sponsors parties stands among them as well.
    if coordinator.is_some() && is_party {
        handover.accept(&mut desk.pins, now).map_err(failed)?;
    }
    if is_party {
        desk.save()?;
    }
    let restart = match coordinator {
        Some(_) => "; start the agent again before then",
        None => "",
    };
    let text = format!(
        "{} is trusted with {}, and until {} with {} too{restart}\n",
        said.party,
        said.to,
        date(said.until),
        said.from
    );
    Ok(Reply::new(&said, text))
}

/// Takes in that the coordinator has a new key: it stands in the configuration.
fn succeed(
    config: &ConfigFile,
    known: Pin,
    handover: &Handover,
    now: u64,
) -> Outcome<enrol::Rotation> {
    let before = known.clone();
    let mut pins = Pins::new();
    pins.add(known).expect("the first of an empty list");
    let said = handover.accept(&mut pins, now).map_err(failed)?;
    let pin = pins.find(&said.party).expect("the one that was put in");
    if *pin != before {
        succeed_coordinator(config, pin)?;
    }
    Ok(said)
}

pub(crate) fn rotate(arguments: &RotateArgs) -> Outcome<Reply> {
    let config = ConfigFile::locate(&arguments.config)?;
    let directory = Keys::read(&config)?.identity;
    let identity_failed = |error: IdentityError| {
        Failure::usage("identity", error.to_string()).at(directory.display().to_string())
    };
    let Some(out) = &arguments.out else {
        let changed = Identity::change_over(&directory).map_err(identity_failed)?;
        let key = changed.fingerprint();
        let text = format!(
            "the key is {key} from now on; start the process again that uses it\nthe former one stays in {}, for evidence of earlier jobs\n",
            directory.join("former").display()
        );
        let document = json!({ "name": changed.name(), "fingerprint": key });
        return Ok(Reply::new(&document, text));
    };
    let present = Identity::load(&directory).map_err(identity_failed)?;
    let next = present.prepare_next(&directory, CERTIFICATE_DAYS);
    let next = next.map_err(|error| match error {
        IdentityError::Exists { .. } => Failure::usage("identity", "a next key is there already")
            .at(directory.join("next").display().to_string())
            .advice("finish with: entente keys rotate --finish; or, if nobody has taken it in, remove that directory"),
        other => identity_failed(other),
    })?;
    let (now, seconds) = (SystemClock.now_unix_s(), u64::from(arguments.days) * 86_400);
    let handover = Handover::sign(&present, &next, now, seconds).map_err(failed)?;
    write(out, &handover)?;
    let text = format!(
        "the next key is {}\nhand {} to the coordinator and to every partner, who take it in with: entente keys accept {}\nwhen all have, before {}: entente keys rotate --finish\n",
        next.fingerprint(),
        out.display(),
        out.display(),
        date(now + seconds)
    );
    let document = json!({
        "name": present.name(), "fingerprint": present.fingerprint(), "next": next.fingerprint(), "until_unix_s": now + seconds, "file": out,
    });
    Ok(Reply::new(&document, text))
}

/// A day, as people write it.
fn date(unix_s: u64) -> String {
    let at = i64::try_from(unix_s)
        .ok()
        .and_then(|s| chrono::DateTime::from_timestamp(s, 0));
    at.map_or_else(
        || unix_s.to_string(),
        |at| at.format("%Y-%m-%d").to_string(),
    )
}

fn read<T>(path: &Path) -> Outcome<Signed<T>>
where
    Signed<T>: DeserializeOwned,
{
    serde_json::from_str(&read_text(path)?).map_err(|_| {
        Failure::usage("enrol", "this is no signed document of an enrolment")
            .at(path.display().to_string())
            .advice("in turn: keys invite, keys apply, keys admit, keys accept")
    })
}

fn write(path: &Path, document: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string(document).expect("a signed statement has a JSON form");
    write_new(path, text.as_bytes(), 0o600)
}

fn failed(error: EnrolError) -> Failure {
    match &error {
        EnrolError::File { .. } => Failure::runtime("enrol", error.to_string()),
        _ => Failure::usage("enrol", error.to_string()),
    }
}
