//! The verbs of the first five minutes and of looking ahead, through the real binary: text, JSON, exit status, refusals.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use cutover_fake::{Bondi, CallKind, Fault, How, Plana};
use serde_json::Value;

use crate::binary::{Desk, Place};

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn all(output: &Output) -> String {
    out(output) + &String::from_utf8_lossy(&output.stderr)
}

fn code(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}", all(output));
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", all(output)))
}

/// A policy over the double of a provider with a list.
fn listed(desk: &Desk, plana: &Plana, rest: &str) -> String {
    let dir = desk.dir.path().display();
    desk.write("session", plana.session().expose());
    format!(
        "{head}[provider.plana]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n{rest}",
        head = desk.head(&Place::File),
        base = plana.base_url(),
    )
}

const SYNC: &str = "[policy.sync]\nprovider = \"plana\"\nparams = { base_name = \"Sync\" }\ntimezone = \"Europe/Berlin\"\n\
                    [[policy.sync.target]]\nstore = \"app\"\npath = \"app.env\"\nfields = { KEY = \"{{ new.secret }}\" }\n";

fn sync(schedule: &str) -> String {
    SYNC.replace("timezone", &format!("{schedule}\ntimezone"))
}

/// The 28 March 2027 has no 02:30 in Berlin, and the 31 October has it twice.
#[test]
fn a_plan_shows_the_change_of_clocks_and_opens_nothing() {
    let desk = Desk::new();
    let head = desk.head(&Place::File);
    let provider = "[provider.plana]\ncredential = { env = \"NOT_SET_ANYWHERE\" }\n";
    desk.write("cutover.toml", &format!("{head}{provider}{}", sync("cron = \"30 2 28,31 3,10 *\"")));
    std::fs::remove_file(desk.path("seal")).expect("there");
    let plan = desk.cutover(&["plan", "--until", "2027-11-30"]);
    code(&plan, 0);
    let text = out(&plan);
    for part in [
        "2027-03-28 03:00 CEST (+02:00)",
        "the clocks skip its local time",
        "2027-10-31 02:30 CEST (+02:00)",
        "comes twice that day",
        "clocks change from UTC+01 to UTC+02",
        "there is no ledger yet",
        "if it is loaded now",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let plan = json(&desk.cutover(&["plan", "--until", "2027-11-30", "--format", "json"]));
    assert_eq!(plan["source"], "none");
    let first = plan["coming"]
        .as_array()
        .expect("some")
        .iter()
        .find(|one| one["at"] == "2027-03-28T01:00:00Z" && one["what"] == "rotation");
    assert_eq!(first.expect("told")["moved"], "clock-change");
    assert!(!desk.path("ledger.db").exists(), "nothing was made");
    let ics = desk.cutover(&["plan", "sync", "--until", "2027-11-30", "--format", "ics"]);
    code(&ics, 0);
    let calendar: icalendar::Calendar = out(&ics).parse().expect("a calendar");
    assert!(calendar.components.len() >= 4);
    assert!(out(&ics).contains("DTSTART:20270328T010000Z\r\n") && out(&ics).contains("STATUS:TENTATIVE\r\n"));
    code(&desk.cutover(&["plan", "nobody"]), 2);
    code(&desk.cutover(&["plan", "--until", "1999-01-01"]), 2);
    code(&desk.cutover(&["plan", "--until", "soon"]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_the_daemons_then_the_ledgers_and_a_difference_tells_the_dates() {
    let desk = Desk::new();
    let plana = Plana::start(desk.clock.clone()).await;
    desk.write("app.env", "KEY=x\n");
    let before = listed(&desk, &plana, &sync("cadence = \"90d\""));
    desk.write("cutover.toml", &before);
    let daemon = desk.daemon().await;
    let of_daemon = json(&desk.verb(&["plan", "--json"]).await);
    assert_eq!(of_daemon["source"], "daemon");
    assert_eq!(of_daemon["coming"][0]["assumed"], false);
    let status = json(&desk.verb(&["status", "--json"]).await);
    let dates = |plan: &Value| {
        plan["coming"]
            .as_array()
            .expect("some")
            .iter()
            .filter(|one| one["what"] == "rotation")
            .map(|one| one["at"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(dates(&of_daemon)[0], status["policies"][0]["next_due"], "the recorded date, as status tells it");
    let calendar =
        |text: String| text.lines().filter(|line| line.starts_with("UID")).map(ToOwned::to_owned).collect::<Vec<_>>();
    let first = calendar(out(&desk.verb(&["plan", "--format", "ics"]).await));
    assert!(!first.is_empty());
    // What a changed file would change: by the daemon's dates, and no reload.
    desk.write("next.toml", &before.replace("90d", "30d").replace("policy.sync", "policy.stock"));
    let changed = desk.verb(&["plan", "--diff", &desk.path("next.toml").display().to_string()]).await;
    code(&changed, 0);
    for part in ["policy stock: was sync; its history moves along", "policy stock: cadence changes", "Next dates"] {
        assert!(out(&changed).contains(part), "{part} is missing in\n{}", out(&changed));
    }
    let changed = json(&desk.verb(&["plan", "--json", "--diff", &desk.path("next.toml").display().to_string()]).await);
    assert_eq!(changed["dates"][0]["was"], status["policies"][0]["next_due"]);
    assert_ne!(changed["dates"][0]["becomes"], changed["dates"][0]["was"]);
    let same = desk.verb(&["plan", "--diff", &desk.path("cutover.toml").display().to_string()]).await;
    assert_eq!(out(&same), "Nothing changes.\n");
    desk.write("broken.toml", "[daemon]\nnam = 1\n");
    code(&desk.verb(&["plan", "--diff", &desk.path("broken.toml").display().to_string()]).await, 2);
    daemon.stop().await;
    // The sealing key is gone: the dates are in the ledger all the same.
    std::fs::remove_file(desk.path("seal")).expect("there");
    let of_ledger = json(&desk.verb(&["plan", "--json"]).await);
    assert_eq!(of_ledger["source"], "ledger");
    assert_eq!(dates(&of_ledger), dates(&of_daemon));
    assert_eq!(calendar(out(&desk.verb(&["plan", "--format", "ics"]).await)), first, "the same dates bear the same identities");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_keys_become_policies_that_check_accepts() {
    let desk = Desk::new();
    let plana = Plana::start(desk.clock.clone()).await;
    for n in 0..36 {
        let _seeded = plana.seed(&format!("Job {n}"), "dashboard:read");
    }
    for odd in ["x\u{1b}[2J\n[policy.evil]", "\"quoted\" \\ # 'x'", "{{ old.secret }}", "Sync (2026-gtxr11os0v26)"] {
        let _seeded = plana.seed(odd, "*");
    }
    let config = listed(&desk, &plana, "");
    desk.write("cutover.toml", &config);
    let keys = desk.verb(&["keys"]).await;
    code(&keys, 0);
    assert!(out(&keys).contains("40 keys: 0 ours, 0 adopted, 39 unknown, 1 orphan"), "{}", out(&keys));
    assert!(!out(&keys).contains('\u{1b}') && !out(&keys).contains("\n[policy.evil]"));
    let listed = json(&desk.verb(&["keys", "plana", "--json"]).await);
    assert_eq!(listed["accounts"][0]["keys"].as_array().expect("keys").len(), 40);
    let written = desk.verb(&["keys", "plana", "--toml"]).await;
    code(&written, 0);
    let skeleton = out(&written);
    desk.write("cutover.toml", &format!("{config}{skeleton}"));
    let unfilled = desk.verb(&["check"]).await;
    code(&unfilled, 2);
    assert!(all(&unfilled).contains("FILL-IN"), "what is not filled in is refused by its name: {}", all(&unfilled));
    let mut n = 0;
    let filled: Vec<String> = skeleton
        .lines()
        .map(|line| {
            n += usize::from(line.starts_with("path "));
            if line.starts_with("path ") { format!("path = \"app{n}.env\"") } else { line.replace("\"FILL-IN\" =", "KEY =") }
        })
        .collect();
    desk.write("cutover.toml", &format!("{config}{}", filled.join("\n")));
    let right = desk.verb(&["check"]).await;
    code(&right, 0);
    assert!(out(&right).contains("39 policies"), "{}", out(&right));
    code(&desk.verb(&["keys", "nobody"]).await, 2);
    // One that does not answer makes the whole look a failure; what the other one listed is shown.
    let deaf = format!(
        "[provider.deaf]\ndefinition = \"plana\"\nbase_url = \"http://127.0.0.1:9\"\ncredential = {{ file = \"{}\" }}\n",
        desk.path("session").display()
    );
    desk.write("cutover.toml", &format!("{config}{deaf}"));
    let half = desk.verb(&["keys"]).await;
    code(&half, 1);
    assert!(out(&half).contains("40 keys: ") && out(&half).contains("WRONG deaf did not list its keys"), "{}", out(&half));
    let said = String::from_utf8_lossy(&half.stderr).into_owned();
    assert!(
        said.contains("not all keys are shown: deaf did not list its keys") && said.contains("http://127.0.0.1:9: "),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_list_says_so() {
    let desk = Desk::new();
    let bondi = Bondi::start(desk.clock.clone()).await;
    desk.write("session", bondi.session().expose());
    let dir = desk.dir.path().display();
    let head = desk.head(&Place::File);
    let base = bondi.base_url();
    desk.write(
        "cutover.toml",
        &format!("{head}[provider.bondi]\nbase_url = \"{base}\"\ncredential = {{ file = \"{dir}/session\" }}\n"),
    );
    let keys = desk.verb(&["keys"]).await;
    code(&keys, 0);
    assert!(out(&keys).contains("bondi has no list") && out(&keys).contains("cure: "), "{}", out(&keys));
    code(&desk.verb(&["keys", "bondi"]).await, 1);
}

fn stranger(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command
        .args(arguments)
        .env("CUTOVER_CONFIG", dir.join("cutover.toml"))
        .env("CUTOVER_PROVIDERS", dir.join("none"))
        .stdin(Stdio::null());
    command
}

#[test]
fn init_writes_what_check_accepts_and_never_writes_over_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| stranger(dir.path(), arguments).output().expect("run");
    let nobody = run(&["init", "--provider", "bondi"]);
    code(&nobody, 2);
    for flag in ["--target", "--notify", "--param workspace=", "--param slug="] {
        assert!(all(&nobody).contains(flag), "{flag}: {}", all(&nobody));
    }
    for (provider, target, notify) in [
        ("plana", "vault:https://vault.example.com:8200/secret/apps/crm#KEY", "ops@example.com"),
        ("bondi", "aws:eu-central-1/apps/crm#KEY", "https://chat.example.com/hooks/x"),
        ("wrapd-api-key", "file:/etc/app/crm.env#KEY", "ops@example.com"),
    ] {
        let flags = ["init", "--provider", provider, "--target", target, "--notify", notify, "--redeploy", "/bin/deploy crm"];
        let params: &[&str] = match provider {
            "plana" => &["--param", "base_name=Nightly \"x\" # y"],
            "bondi" => &["--param", "workspace=ws_1", "--param", "slug=crm"],
            _ => &[],
        };
        let written = run(&[&flags[..], params].concat());
        code(&written, 0);
        for command in ["cutover keygen", "cutover check --online", "cutover rotate crm --dry-run"] {
            assert!(out(&written).contains(command), "{command}: {}", out(&written));
        }
        let file = dir.path().join("cutover.toml");
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o7777, 0o644);
        code(&run(&["check"]), 0);
        let before = std::fs::read(&file).expect("there");
        code(&run(&[&flags[..], params].concat()), 4);
        assert_eq!(std::fs::read(&file).expect("there"), before, "never written over");
        std::fs::remove_file(file).expect("there");
    }
    let wrong = run(&[
        "init",
        "--provider",
        "bondi",
        "--target",
        "file:/etc/app/crm.env#KEY",
        "--notify",
        "nobody",
        "--param",
        "workspace=w",
        "--param",
        "slug=s",
    ]);
    code(&wrong, 2);
    assert!(!dir.path().join("cutover.toml").exists());
}

/// On a terminal it asks; what is no answer is asked again.
#[test]
fn init_asks_its_questions_on_a_terminal() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = format!("{} init --config {}/c.toml", env!("CARGO_BIN_EXE_cutover"), dir.path().display());
    let Ok(mut terminal) = Command::new("script")
        .args(["-qec", &program, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
    else {
        return;
    };
    let answers = "\nnobody\nplana\nNightly\n\nfile:/etc/app/crm.env#KEY\nnone\nops@example.com\n";
    terminal.stdin.take().expect("piped").write_all(answers.as_bytes()).expect("typed");
    let output = terminal.wait_with_output().expect("ended");
    code(&output, 0);
    for part in [
        "1. What",
        "2. Who",
        "there is no definition nobody",
        "base_name: the key's name in",
        "scope: the scope of the key",
        "3. Where",
        "4. Which",
        "5. Who",
        "Next:",
    ] {
        assert!(out(&output).contains(part), "{part} is missing in\n{}", out(&output));
    }
    let file = dir.path().join("c.toml");
    assert!(std::fs::read_to_string(&file).expect("written").contains("name    = \"prod\""));
    let check = stranger(dir.path(), &["check", "--config", &file.display().to_string()]).output().expect("run");
    code(&check, 0);
}

#[test]
fn completions_load_and_the_manual_renders_without_a_warning() {
    let dir = tempfile::tempdir().expect("a directory");
    let printed = |arguments: &[&str]| {
        let output = stranger(dir.path(), arguments).output().expect("run");
        code(&output, 0);
        assert!(output.stderr.is_empty(), "{}", all(&output));
        out(&output)
    };
    let bash = dir.path().join("cutover.bash");
    std::fs::write(&bash, printed(&["completions", "bash"])).expect("written");
    let loaded = Command::new("bash")
        .args(["--norc", "-c", ". \"$1\" && complete -p cutover", "-", &bash.display().to_string()])
        .output();
    let loaded = loaded.expect("bash");
    code(&loaded, 0);
    assert!(out(&loaded).contains("cutover"));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(printed(&["completions", shell]).contains("rotate"), "{shell}");
    }
    code(&stranger(dir.path(), &["completions", "tcsh"]).output().expect("run"), 2);
    let page = printed(&["man"]);
    assert!(page.contains(".TH CUTOVER 8") && page.contains("LEDGER COPY") && page.contains("\\-\\-dry\\-run"), "{page}");
    std::fs::write(dir.path().join("cutover.8"), page).expect("written");
    if let Ok(rendered) = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-z"]).arg(dir.path().join("cutover.8")).output()
    {
        assert!(rendered.stderr.is_empty() && rendered.status.success(), "{}", all(&rendered));
    }
}

/// Every finding that is not well names its cure, in text and in JSON.
#[tokio::test(flavor = "multi_thread")]
async fn check_online_tells_the_cure_of_everything_it_finds() {
    let desk = Desk::new();
    let plana = Plana::start(desk.clock.clone()).await;
    let dead = "[notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:9/none\"\n";
    desk.write("cutover.toml", &listed(&desk, &plana, &format!("{dead}{}", sync("cadence = \"1y\""))));
    desk.write("session", "not the session");
    desk.write("app.env", "KEY=x\n");
    let check = desk.verb(&["check", "--online"]).await;
    code(&check, 1);
    assert!(out(&check).contains("cure: correct the address and port in [notify.ops]"), "{}", out(&check));
    assert!(out(&check).contains("cure: put a valid credential where [provider.plana] says it is read"), "{}", out(&check));
    let findings = json(&desk.verb(&["check", "--online", "--json"]).await)["findings"].clone();
    for finding in findings.as_array().expect("findings") {
        let well = finding["ok"] == true && finding["warning"] == false;
        assert_eq!(finding["cure"].is_null(), well, "{finding}");
    }
}

/// A misspelt name was answered with "No entries" and 0. What was removed from the file keeps its history, and before the first start
/// the next command is named.
#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_nobody_is_refused_and_that_of_a_removed_policy_is_shown() {
    let desk = Desk::new();
    let plana = Plana::start(desk.clock.clone()).await;
    desk.write("app.env", "KEY=x\n");
    desk.write("cutover.toml", &listed(&desk, &plana, &sync("cadence = \"1y\"")));
    for verb in ["history", "status"] {
        let early = desk.verb(&[verb]).await;
        code(&early, 1);
        assert!(all(&early).contains("`cutover run` starts it"), "{}", all(&early));
    }
    let daemon = desk.daemon().await;
    code(&desk.verb(&["suspend", "sync", "--until", "3d", "--yes"]).await, 0);
    code(&desk.verb(&["history", "sync"]).await, 0);
    let misspelt = desk.verb(&["history", "syn"]).await;
    code(&misspelt, 2);
    assert!(
        all(&misspelt).contains("there is no policy syn") && all(&misspelt).contains("did you mean sync?"),
        "{}",
        all(&misspelt)
    );
    code(&desk.verb(&["history", "sync", "nobody"]).await, 2);
    let no_rotation = desk.verb(&["history", "sync", "--rotation", "rot_x"]).await;
    code(&no_rotation, 2);
    assert!(all(&no_rotation).contains("the history has no rotation rot_x of sync"), "{}", all(&no_rotation));
    daemon.stop().await;
    desk.write("cutover.toml", &listed(&desk, &plana, ""));
    let removed = desk.verb(&["history", "sync"]).await;
    code(&removed, 0);
    assert!(out(&removed).contains("suspended"), "{}", out(&removed));
    code(&desk.verb(&["history", "syn"]).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_copied_in_use_and_put_back() {
    let desk = Desk::new();
    desk.write("app.env", "KEY=x\n");
    desk.write("cutover.toml", &desk.head(&Place::File));
    let daemon = desk.daemon().await;
    let url = |name: &str| format!("sqlite:{}", desk.path(name).display());
    let copied = desk.verb(&["ledger", "copy", "--to", &url("copy.db")]).await;
    code(&copied, 0);
    assert!(out(&copied).contains("copied and proven") && out(&copied).contains("environment test"), "{}", out(&copied));
    assert_eq!(std::fs::metadata(desk.path("copy.db")).expect("there").permissions().mode() & 0o7777, 0o600);
    code(&desk.verb(&["ledger", "copy", "--to", &url("copy.db")]).await, 4);
    code(&desk.verb(&["ledger", "copy", "--to", "postgres://db/cutover"]).await, 2);
    code(&desk.verb(&["ledger", "copy", "--to", "sqlite:copy2.db"]).await, 2);
    code(&desk.verb(&["ledger", "copy", "--from", &url("copy.db"), "--to", &url("ledger.db")]).await, 4);
    assert!(out(&desk.verb(&["history"]).await).contains("ledger-copied"), "who took a copy is in the history");
    daemon.stop().await;
    let here = json(&desk.verb(&["ledger", "copy", "--json", "--to", &url("here.db")]).await);
    assert_eq!(here["copied"]["environment"], "test");
    std::fs::remove_file(desk.path("ledger.db")).expect("there");
    code(&desk.verb(&["ledger", "copy", "--from", &url("here.db"), "--to", &url("ledger.db")]).await, 0);
    let verified = desk.verb(&["history", "--verify"]).await;
    code(&verified, 0);
    assert!(out(&verified).contains("chain intact"), "{}", out(&verified));
    std::fs::write(desk.path("here.db"), "damaged").expect("written");
    code(&desk.verb(&["ledger", "copy", "--from", &url("here.db"), "--to", &url("again.db")]).await, 1);
    assert!(!desk.path("again.db").exists());
}

/// A copy from the middle of a rotation that has ended since: what it believes is not what stands in the targets. It must ask, and end
/// or make no key by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_put_back_from_the_middle_of_a_rotation_stops_and_takes_no_key_away() {
    let desk = Desk::new();
    // A doubt is looked into when the mint's time is over and a list shows what it made: here at once.
    let shipped = include_str!("../../plugins/providers/plana.toml");
    let quick = shipped.replace("list_lag  = \"10s\"", "list_lag  = \"0s\"");
    let quick = quick.replace("[issue]\n", "[issue]\ntimeout = \"1s\"\n");
    assert!(
        quick.contains("[issue]\ntimeout = \"1s\"") && quick.contains("list_lag  = \"0s\""),
        "change this as the definition"
    );
    desk.write("providers/plana.toml", &quick);
    let plana = Plana::start(desk.clock.clone()).await;
    let (id, old) = plana.seed("Sync (2025)", "dashboard:read");
    desk.write("app.env", &format!("KEY={}\n", old.expose()));
    let ops = "[notify.ops]\nkind = \"webhook\"\nrequest = \"POST http://127.0.0.1:PORT/x\"\n";
    let port = sink().await;
    let policy = sync(&format!("cadence = \"1y\"\nquiet = \"1s\"\nadopt = {{ id = \"{id}\" }}"));
    desk.write("cutover.toml", &listed(&desk, &plana, &format!("{}{policy}", ops.replace("PORT", &port.to_string()))));
    // The reply of the mint is lost: the copy is of a rotation in doubt, whose key then comes into the targets by other means.
    plana.fail(Fault::once(CallKind::Mint, How::LoseReply));
    let daemon = desk.daemon().await;
    code(&desk.verb(&["rotate", "sync"]).await, 0);
    for _ in 0..2_000 {
        if plana.mints() == 1 {
            break;
        }
        tokio::task::yield_now().await;
        desk.verb(&["status", "--json"]).await;
    }
    let copy = format!("sqlite:{}", desk.path("copy.db").display());
    code(&desk.verb(&["ledger", "copy", "--to", &copy]).await, 0);
    daemon.stop().await;
    // Later: another key is in use, made by a rotation that the copy knows nothing of, and the old one is gone from the targets.
    let (_, later) = plana.seed("Sync (2027)", "dashboard:read");
    desk.write("app.env", &format!("KEY={}\n", later.expose()));
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _none = std::fs::remove_file(desk.path(name));
    }
    let home = format!("sqlite:{}", desk.path("ledger.db").display());
    code(&desk.verb(&["ledger", "copy", "--from", &copy, "--to", &home]).await, 0);
    let daemon = desk.daemon().await;
    // It is seen to be older than what was in use here: nothing is done on its word before somebody has said that it may be.
    let status = json(&desk.verb(&["status", "--json"]).await);
    assert_eq!(status["ledger_behind"], true, "{status:#}");
    assert_eq!(plana.mints(), 1);
    code(&desk.verb(&["resume", "--reason", "restored from the copy"]).await, 0);
    // It has looked at its targets again, does not know what stands there, and says so.
    let told = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let history = json(&desk.verb(&["history", "sync", "--json"]).await);
            let entries = history["entries"].as_array().cloned().unwrap_or_default();
            if entries.iter().any(|entry| matches!(entry["kind"].as_str(), Some("held" | "preflight-failed"))) {
                break;
            }
        }
    });
    assert!(told.await.is_ok(), "{:#}\n{}", json(&desk.verb(&["status", "sync", "--json"]).await), desk.log());
    assert_eq!(plana.mints(), 1, "nothing is made twice");
    assert!(plana.accepts(&later), "the key in use is not ended");
    assert!(plana.accepts(&old), "nor any other without evidence");
    let app = std::fs::read_to_string(desk.path("app.env")).expect("there");
    assert_eq!(app, format!("KEY={}\n", later.expose()), "nothing is written over what is in use");
    daemon.stop().await;
}

/// One cause held many policies, and it is mended: one command goes on with all of them, and only with those.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_selected_is_resumed_at_once() {
    let desk = Desk::new();
    let plana = Plana::start(desk.clock.clone()).await;
    desk.write("app.env", "KEY=x\n");
    let one = |name: &str, tag: &str| {
        let text = sync(&format!("cadence = \"1y\"\ntags = [\"{tag}\"]")).replace("policy.sync", &format!("policy.{name}"));
        text.replace("\"app.env\"", &format!("\"{name}.env\"")).replace("\"Sync\"", &format!("\"{name}\""))
    };
    let policies = format!("{}{}{}", one("ads", "shop"), one("feed", "shop"), one("mail", "office"));
    desk.write("cutover.toml", &listed(&desk, &plana, &policies));
    let daemon = desk.daemon().await;
    code(&desk.verb(&["suspend", "--all", "--until", "3d", "--yes"]).await, 0);
    let resumed = desk.verb(&["resume", "--tag", "shop", "--reason", "mended"]).await;
    code(&resumed, 0);
    let said = out(&resumed);
    assert!(said.contains("ads: not suspended any more") && said.contains("feed: not suspended any more"), "{said}");
    let left = |status: &Value| {
        let policies = status["policies"].as_array().cloned().unwrap_or_default();
        let left = policies.iter().filter(|policy| !policy["suspended"].is_null());
        left.map(|policy| policy["policy"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(left(&json(&desk.verb(&["status", "--json"]).await)), ["mail"]);
    code(&desk.verb(&["resume", "--tag", "shop"]).await, 0);
    let none = desk.verb(&["resume", "--tag", "nobody"]).await;
    code(&none, 2);
    let two = desk.verb(&["resume", "ads", "feed", "--rotation", "rot_x"]).await;
    code(&two, 2);
    assert_eq!(left(&json(&desk.verb(&["status", "--json"]).await)), ["mail"]);
    daemon.stop().await;
}

/// A place where alerts go.
async fn sink() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let app = axum::Router::new().fallback(|| async { "" });
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}
