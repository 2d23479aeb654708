//! `entente algo`: the procedures of this program, for those who vet them.

use crate::cli::{AlgoCommand, AlgoDescribeArgs};
use crate::outcome::{Failure, FileFault, Outcome, Reply};
use crate::table::grid;
use party_agent::manifest::Manifest;
use serde_json::json;

pub(crate) fn run(what: AlgoCommand) -> Outcome<Reply> {
    match what {
        AlgoCommand::List => Ok(list()),
        AlgoCommand::Describe(arguments) => describe(&arguments),
        AlgoCommand::Lint => lint(),
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

fn describe(arguments: &AlgoDescribeArgs) -> Outcome<Reply> {
    let found = Manifest::all()
        .iter()
        .find(|m| m.id == arguments.id || m.name() == arguments.id);
    let manifest = found.ok_or_else(|| {
        let what = format!("there is no procedure {}", arguments.id);
        Failure::usage("unknown_procedure", what).advice("`entente algo list` shows all")
    })?;
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

fn lint() -> Outcome<Reply> {
    let faults: Vec<_> = Manifest::all().iter().flat_map(Manifest::lint).collect();
    if faults.is_empty() {
        let n = Manifest::all().len();
        return Ok(Reply::new(
            &json!({ "manifests": n }),
            format!("{n} manifests are whole\n"),
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
