//! A newcomer becomes known by an invite, and is let in by those who take its sponsor's word.

use crate::evidence_roundtrip::clinics;
use crate::run::root;
use std::path::Path;

#[test]
fn a_newcomer_is_let_in_on_its_sponsors_word_and_by_nobody_elses() {
    let mut town = clinics();
    let newcomer = town.init("clinic_c", &root().join("examples/data/clinics/clinic_b"));
    let directory = town.directory.path().to_path_buf();
    let file = |name: &str| directory.join(name).display().to_string();
    let (invite, application, word) = (file("invite"), file("application"), file("word"));
    let (a, b) = (&town.sides[0], &town.sides[1]);
    a.run(&["keys", "invite", "clinic_c", "--out", &invite])
        .expect(0);
    // Who it is that invites, the newcomer has to know by another way.
    let apply = ["keys", "apply", &invite, "--out", &application];
    let said = newcomer.run(&apply).expect(2).stderr;
    assert!(said.contains("clinic_a is not trusted here"), "{said}");
    newcomer.trust("clinic_a", &a.fingerprint());
    newcomer.run(&apply).expect(0);
    let said = b
        .run(&["keys", "apply", &invite, "--out", &file("other")])
        .expect(2)
        .stderr;
    assert!(said.contains("the invite is for clinic_c"), "{said}");
    a.run(&["keys", "admit", &application, "--out", &word])
        .expect(0);
    let again = ["keys", "admit", &application, "--out", &file("again")];
    let said = a.run(&again).expect(2).stderr;
    assert!(said.contains("was used already"), "{said}");
    // The newcomer cannot vouch for itself: the coordinator knows clinic_a, and not clinic_c.
    let said = newcomer
        .run(&["keys", "accept", &application])
        .expect(2)
        .stderr;
    assert!(said.contains("not validly signed"), "{said}");
    for side in [b, &town.hub] {
        side.run(&["keys", "accept", &word]).expect(0);
        let trusted = side.json(&["keys", "show"], 0)["trusted"].to_string();
        assert!(trusted.contains(&newcomer.fingerprint()), "{trusted}");
        assert!(trusted.contains("sponsored by clinic_a"), "{trusted}");
    }
    assert!(Path::new(&word).exists());
    town.sides.push(newcomer);
    // Waits until the newcomer, too, is online with its catalogue.
    let agents = town.start();
    agents.into_iter().for_each(crate::run::Serving::stop);
}
