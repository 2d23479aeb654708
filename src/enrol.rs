//! `entente keys invite`, `apply`, `admit` and `accept`: how a party becomes known by way of one that is known, in files that people hand on.

use crate::cli::{InviteArgs, TakeArgs, VouchedArgs};
use crate::init::{party_name, write_new};
use crate::keys::{Keys, load_pins};
use crate::locate::{ConfigFile, read_text};
use crate::outcome::{Failure, Outcome, Reply};
use coordinator::clock::{Clock as _, SystemClock};
use coordinator::contract::Signed;
use coordinator::enrol::{self, Application, EnrolError, Invite, Invites, Membership};
use coordinator::tls::{Identity, Pin, Pins};
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
    let mut desk = Desk::open(&ConfigFile::locate(&arguments.config)?)?;
    let membership: Signed<Membership> = read(&arguments.file)?;
    let known = enrol::trust(&membership, &mut desk.pins).map_err(failed)?;
    desk.save()?;
    let text = format!(
        "{} is trusted with {}, on the word of {}\n",
        known.party, known.fingerprint, known.sponsor
    );
    Ok(Reply::new(&known, text))
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
