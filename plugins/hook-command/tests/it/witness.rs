//! What a command witness makes of a program's end.

use crate::common::{script, witness};
use cutover_api::{Class, Outcome, Sighting, Witness, WitnessVars};

fn vars() -> WitnessVars {
    WitnessVars {
        policy: "my-crm".to_owned(),
        rotation: String::new(),
        key_id: "key_7".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}

#[tokio::test]
async fn only_zero_and_one_are_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let look = async |body: &str| {
        let text = script(dir.path(), body, &[]);
        let (witness, problems) =
            witness(&format!("kind = \"command\"\nevery = \"30s\"\nfor = \"2m\"\ncovers = [\"vault:a\"]\n{text}"));
        assert!(problems.is_empty(), "{problems:?}");
        witness.expect("nothing is wrong with it").look(&vars()).await
    };
    assert!(matches!(look("exit 0\n").await, Outcome::Done(Sighting::Holds(true))));
    assert!(matches!(look("exit 1\n").await, Outcome::Done(Sighting::Holds(false))));
    let Outcome::Refused(refusal) = look("exit 2\n").await else { panic!("2 is no answer") };
    assert_eq!((refusal.class, refusal.status, refusal.step.as_str()), (Class::Refused, Some(2), "verify 1"));
    assert!(refusal.hint.is_some());
    let Outcome::Unknown(cause) = look("kill -KILL $$\n").await else { panic!("a signal is no answer") };
    assert_eq!(cause.label, "killed");
    // The key asked about is told, and the rotation's name is empty outside one.
    assert!(matches!(
        look("[ \"$CUTOVER_FINGERPRINT\" = sha256:0011223344556677 ] && [ \"${CUTOVER_ROTATION-unset}\" = '' ]\n").await,
        Outcome::Done(Sighting::Holds(true))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let (witness, _) = witness(&script(dir.path(), "sleep 3600\n", &[]));
    let Outcome::Unknown(cause) = witness.expect("valid").look(&vars()).await else { panic!("no answer") };
    assert_eq!(cause.label, "timeout");
}
