//! `entente algo`: the procedures of this program, for those who vet them.

use crate::cli::{AlgoCommand, AlgoDescribeArgs, AlgoLintArgs, AlgoReviewArgs};
use crate::outcome::{Failure, FileFault, Outcome, Reply};
use crate::table::grid;
use coordinator::contract::Signed;
use coordinator::tls::Identity;
use party_agent::manifest::Manifest;
use party_agent::policy::Review;
use serde_json::json;

pub(crate) fn run(what: AlgoCommand) -> Outcome<Reply> {
    match what {
        AlgoCommand::List => Ok(list()),
        AlgoCommand::Describe(arguments) => describe(&arguments),
        AlgoCommand::Lint(arguments) => lint(&arguments),
        AlgoCommand::Review(arguments) => review(&arguments),
    }
}

fn list() -> Reply {
    let all = Manifest::all();
    let header = ["procedure", "version", "digest", ""].map(str::to_owned);
    let rows = all
        .iter()
        .map(|m| vec![m.id.clone(), m.version.clone(), m.name(), m.title.clone()]);
    let text = grid(header.to_vec(), rows.collect());
    let document: Vec<_> = all
        .iter()
        .map(|m| json!({ "id": m.id, "version": m.version, "digest": m.name(), "title": m.title }))
        .collect();
    Reply::new(&json!({ "procedures": document }), text)
}

fn named(id: &str) -> Outcome<&'static Manifest> {
    let found = Manifest::all()
        .iter()
        .find(|m| m.id == id || m.name() == id);
    found.ok_or_else(|| {
        let what = format!("there is no procedure {id}");
        Failure::usage("unknown_procedure", what).advice("`entente algo list` shows all")
    })
}

fn review(arguments: &AlgoReviewArgs) -> Outcome<Reply> {
    let manifest = named(&arguments.id)?;
    let identity = Identity::load(&arguments.key).map_err(|error| {
        Failure::usage("identity", error.to_string()).at(arguments.key.display().to_string())
    })?;
    let review = Review {
        manifest: manifest.digest(),
        procedure: manifest.id.clone(),
        reviewer: identity.name().clone(),
    };
    let signed = Signed::sign(&review, &identity)
        .map_err(|error| Failure::runtime("sign", error.to_string()))?;
    let text = serde_json::to_string(&signed).expect("a signed statement is JSON");
    std::fs::write(&arguments.out, text).map_err(|error| {
        Failure::runtime("io", error.to_string()).at(arguments.out.display().to_string())
    })?;
    let said = format!(
        "{} signed as {} with {}; holders who list that key put {} beside their policy in reviews/\n",
        manifest.id,
        identity.name(),
        identity.fingerprint(),
        arguments.out.display()
    );
    Ok(Reply::new(&review, said))
}

fn describe(arguments: &AlgoDescribeArgs) -> Outcome<Reply> {
    let manifest = named(&arguments.id)?;
    let lines = |title: &str, of: &[String]| {
        of.iter().fold(format!("{title}\n"), |text, line| {
            text + &format!("  {line}\n")
        })
    };
    let parameters = manifest.parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|p| format!("{}: {} to {}", p.name, p.least, p.most))
        .collect();
    let mut text = format!(
        "{} {}\n{}\n{}\n\n",
        manifest.id,
        manifest.version,
        manifest.title,
        manifest.name()
    );
    text += &lines("takes part", &manifest.roles);
    text += &lines("goes in", &manifest.inputs);
    text += &lines("bounds", &parameters);
    text += &lines("is opened", &manifest.opens);
    text += &lines("is learnt besides", &manifest.leaks);
    text += &lines(
        "is secure against",
        std::slice::from_ref(&manifest.adversary),
    );
    text += &lines("is sent", &manifest.messages);
    Ok(Reply::new(manifest, text))
}

fn lint(arguments: &AlgoLintArgs) -> Outcome<Reply> {
    let chosen: Vec<&Manifest> = match &arguments.id {
        Some(id) if !arguments.all => vec![named(id)?],
        _ => Manifest::all().iter().collect(),
    };
    let faults: Vec<_> = chosen.iter().flat_map(|m| m.lint()).collect();
    if faults.is_empty() {
        let n = chosen.len();
        return Ok(Reply::new(
            &json!({ "manifests": n }),
            match n {
                1 => "1 manifest is whole\n".to_owned(),
                n => format!("{n} manifests are whole\n"),
            },
        ));
    }
    let faults = faults.into_iter().map(|fault| FileFault {
        line: None,
        field: Some(fault.id),
        what: fault.what,
        allowed: None,
    });
    Err(Failure::usage("manifest", "a manifest is not whole").faults(faults.collect()))
}
