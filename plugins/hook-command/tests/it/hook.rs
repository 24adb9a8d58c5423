//! What a command hook does to the process it starts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::common::{hook, number, runs, script, until};
use cutover_api::{Again, Class, Hook, HookVars, Outcome};
use cutover_hook_command::CommandHook;

fn vars() -> HookVars {
    HookVars {
        policy: "my-crm".to_owned(),
        rotation: "r-42".to_owned(),
        run: "0192f0c1-0000-7000-8000-000000000001".to_owned(),
        key_id: "key_7".to_owned(),
        fingerprint: "sha256:0011223344556677".to_owned(),
    }
}

fn built(text: &str) -> CommandHook {
    let (hook, problems) = hook(text);
    assert!(problems.is_empty(), "{problems:?}");
    hook.expect("nothing is wrong with it")
}

/// The variables a file like `/proc/self/environ` holds, sorted.
fn environ(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).expect("written");
    let mut all: Vec<_> =
        bytes.split(|b| *b == 0).filter(|v| !v.is_empty()).map(|v| String::from_utf8_lossy(v).into_owned()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn the_environment_holds_only_what_is_promised() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("environ");
    // The test's own environment is full of other things (CARGO_*, HOME): none of it may come through.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let hook = built(&format!(
        "kind = \"command\"\nrun = [\"/bin/cp\", \"/proc/self/environ\", {out:?}]\n[env]\nAPP = \"crm\"\nLANG = \"de_DE.UTF-8\"\n"
    ));
    assert!(matches!(hook.run(&vars(), Again::First).await, Outcome::Done(())));
    assert_eq!(
        environ(&out),
        [
            "APP=crm",
            "CUTOVER_FINGERPRINT=sha256:0011223344556677",
            "CUTOVER_KEY_ID=key_7",
            "CUTOVER_POLICY=my-crm",
            "CUTOVER_ROTATION=r-42",
            "CUTOVER_RUN=0192f0c1-0000-7000-8000-000000000001",
            "LANG=de_DE.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
    );
}

#[tokio::test]
async fn words_are_passed_as_they_stand() {
    let dir = tempfile::tempdir().expect("a directory");
    let odd = ["--x", "$(id)", "`id`", "a\nb", "", "; rm -rf /", "\"q\" 'q'", "*", "~", "$CUTOVER_POLICY", "é"];
    let long = "y".repeat(100_000);
    let words: Vec<&str> = odd.iter().copied().chain([long.as_str()]).collect();
    let body = format!("printf '%s\\0' \"$@\" > {:?}\n", dir.path().join("argv"));
    let hook = built(&script(dir.path(), &body, &words));
    assert!(matches!(hook.run(&vars(), Again::First).await, Outcome::Done(())));
    let got = fs::read_to_string(dir.path().join("argv")).expect("written");
    assert_eq!(got.split_terminator('\0').collect::<Vec<_>>(), words);
}

#[tokio::test]
async fn a_program_reads_nothing_and_runs_where_it_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let body = format!("cat > {:?}\npwd -P > {:?}\n", dir.path().join("stdin"), dir.path().join("cwd"));
    let place = dir.path().canonicalize().expect("there");
    let hook = built(&format!("{}dir = {place:?}\n", script(dir.path(), &body, &[])));
    assert!(matches!(hook.run(&vars(), Again::First).await, Outcome::Done(())));
    assert_eq!(fs::read(dir.path().join("stdin")).expect("written"), b"");
    assert_eq!(fs::read_to_string(dir.path().join("cwd")).expect("written").trim_end(), place.to_str().expect("UTF-8"));
}

#[tokio::test]
async fn a_failure_is_refused_with_its_code_and_without_its_output() {
    let dir = tempfile::tempdir().expect("a directory");
    let hook = built(&script(dir.path(), "echo canary-secret\necho canary-secret >&2\nexit 7\n", &[]));
    let Outcome::Refused(refusal) = hook.run(&vars(), Again::First).await else { panic!("exit 7 certainly failed") };
    assert_eq!((refusal.class, refusal.status, refusal.step.as_str()), (Class::Refused, Some(7), "redeploy 2"));
    assert!(!format!("{refusal} {refusal:?}").contains("canary"));
}

#[tokio::test]
async fn a_signal_leaves_it_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let hook = built(&script(dir.path(), "kill -SEGV $$\n", &[]));
    let Outcome::Unknown(cause) = hook.run(&vars(), Again::First).await else {
        panic!("it may have worked before it was killed")
    };
    assert_eq!(cause.label, "killed");
}

#[tokio::test]
async fn a_flood_of_output_neither_blocks_nor_grows() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = resident();
    let hook = built(&script(dir.path(), "head -c 10485760 /dev/zero\nhead -c 10485760 /dev/zero >&2\n", &[]));
    assert!(matches!(hook.run(&vars(), Again::First).await, Outcome::Done(())));
    assert!(resident() < before + 8 * 1024, "resident KiB: {before} before, {} after 20 MiB of output", resident());
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("there");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
}

/// A hook may well start the application: it must neither keep the hook waiting nor be ended, nor die of a closed pipe.
#[tokio::test]
async fn what_a_program_leaves_running_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let (go, pid, done) = (dir.path().join("go"), dir.path().join("pid"), dir.path().join("done"));
    let body = format!("(until [ -e {go:?} ]; do sleep 0.05; done; echo still here; echo 1 > {done:?}) &\necho $! > {pid:?}\n");
    let hook = built(&script(dir.path(), &body, &[]));
    assert!(matches!(hook.run(&vars(), Again::First).await, Outcome::Done(())));
    let left = number(&pid).expect("written before the end");
    assert!(runs(left));
    fs::write(&go, "").expect("writable");
    tokio::task::spawn_blocking(move || until("the one left running wrote after the hook's end", || number(&done) == Some(1)))
        .await
        .expect("it did");
}

#[tokio::test]
async fn dropping_the_run_ends_the_whole_group() {
    let dir = tempfile::tempdir().expect("a directory");
    let (leader, grandchild) = (dir.path().join("leader"), dir.path().join("grandchild"));
    let body = format!(
        "trap '' TERM\nsh -c 'trap \"\" TERM; echo $$ > \"$1\"; while :; do sleep 1; done' x {grandchild:?} &\necho $$ > {leader:?}\nwait\n"
    );
    let hook = built(&script(dir.path(), &body, &[]));
    let run = tokio::spawn(async move { hook.run(&vars(), Again::First).await });
    let pids = tokio::task::spawn_blocking(move || {
        until("both started", || number(&leader).is_some() && number(&grandchild).is_some());
        [number(&leader), number(&grandchild)].map(|pid| pid.expect("just seen"))
    });
    let pids = pids.await.expect("both started");
    assert!(pids.iter().all(|pid| runs(*pid)));
    run.abort();
    assert!(run.await.expect_err("aborted").is_cancelled());
    tokio::task::spawn_blocking(move || until("both ended", || pids.iter().all(|pid| !runs(*pid)))).await.expect("they did");
}

/// The clock stands still while a blocking task waits, and jumps on when nothing else is left to do: ten minutes pass at once.
#[tokio::test(start_paused = true)]
async fn an_overrun_ends_the_whole_group_and_is_unknown() {
    let dir = tempfile::tempdir().expect("a directory");
    let (pid, asked) = (dir.path().join("grandchild"), dir.path().join("asked"));
    // The leader cleans up when asked to end; its child does not listen.
    let body = format!(
        "trap 'echo 1 > {asked:?}; exit 0' TERM\nsh -c 'trap \"\" TERM; echo $$ > \"$1\"; while :; do sleep 1; done' x {pid:?} &\nwhile :; do sleep 0.05; done\n"
    );
    let hook = built(&script(dir.path(), &body, &[]));
    assert_eq!(hook.timeout(), Duration::from_secs(605));
    let started = pid.clone();
    let hold = tokio::task::spawn_blocking(move || until("the grandchild started", || number(&started).is_some()));
    let mind = tokio::spawn(async move {
        // Paused time: it is moved past the hook's deadline.
        tokio::time::sleep(Duration::from_millis(600_001)).await;
        tokio::task::spawn_blocking(move || until("the leader was asked to end", || number(&asked) == Some(1)))
            .await
            .expect("it was");
    });
    let Outcome::Unknown(cause) = hook.run(&vars(), Again::First).await else { panic!("it may have worked") };
    assert_eq!(cause.label, "timeout");
    hold.await.expect("started");
    mind.await.expect("asked");
    let grandchild = number(&pid).expect("started");
    tokio::task::spawn_blocking(move || until("the grandchild ended", || !runs(grandchild))).await.expect("it did");
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_before_and_at_the_run() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let put = |name: &str, mode: u32| {
        fs::write(at(name), "#!/bin/sh\nexit 0\n").expect("writable");
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).expect("ours");
    };
    put("good", 0o755);
    put("no-x", 0o644);
    put("open", 0o757);
    symlink(at("open"), at("link")).expect("writable");
    fs::create_dir(at("everybody")).expect("writable");
    put("everybody/good", 0o755);
    fs::set_permissions(at("everybody"), fs::Permissions::from_mode(0o777)).expect("ours");
    fs::write(at("no-interpreter"), "#!/nonexistent/sh\n").expect("writable");
    fs::set_permissions(at("no-interpreter"), fs::Permissions::from_mode(0o755)).expect("ours");

    let of = |program: &Path, more: &str| built(&format!("run = [{program:?}]\n{more}"));
    assert_eq!(of(&at("good"), "").present().await, Ok(()));
    for (program, more, word) in [
        (at("absent"), String::new(), "there is no file"),
        (at("no-x"), String::new(), "may not be executed"),
        (at("open"), String::new(), "everybody may write"),
        (at("link"), String::new(), "everybody may write"),
        (at("everybody/good"), String::new(), "everybody may replace"),
        (dir.path().to_owned(), String::new(), "not a regular file"),
        (at("good"), format!("dir = {:?}\n", at("absent")), "there is no directory"),
        (at("good"), format!("dir = {:?}\n", at("no-x")), "not a directory"),
    ] {
        let hook = of(&program, &more);
        let refusal = hook.present().await.expect_err(word);
        assert!(refusal.to_string().contains(word), "{refusal}");
        assert_eq!(refusal.class, Class::Unsent);
        let Outcome::Refused(at_run) = hook.run(&vars(), Again::First).await else { panic!("not started: {word}") };
        assert_eq!(at_run, refusal);
    }
    let Outcome::Refused(refusal) = of(&at("no-interpreter"), "").run(&vars(), Again::First).await else {
        panic!("not started")
    };
    assert!(refusal.to_string().contains("could not be started"), "{refusal}");
}

#[tokio::test]
async fn a_hostile_key_id_starts_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ran = dir.path().join("ran");
    let hook = built(&script(dir.path(), &format!("echo 1 > {ran:?}\n"), &[]));
    for id in ["a\0b", "a\nCUTOVER_POLICY=other", "\u{1b}[2J", &"x".repeat(5_000)] {
        let vars = HookVars { key_id: id.to_owned(), ..vars() };
        assert!(matches!(hook.run(&vars, Again::First).await, Outcome::Refused(_)));
    }
    assert!(!ran.exists());
}

#[test]
fn every_mistake_is_named() {
    let wrong = |text: &str| {
        let (hook, problems) = hook(text);
        assert!(hook.is_none(), "{text}");
        problems.join("\n")
    };
    assert!(wrong("kind = \"command\"\n").contains("run: missing"));
    assert!(wrong("run = \"deploy crm\"\n").contains("no shell reads it"));
    assert!(wrong("run = [\"deploy\"]\n").contains("not an absolute path"));
    assert!(wrong("run = []\n").contains("is empty"));
    assert!(wrong("run = [\"/bin/x\", 1]\n").contains("holds an integer"));
    assert!(wrong("run = [\"/bin/x\", { file = \"/run/s\" }]\n").contains("secrets never go into arguments"));
    assert!(wrong("run = [\"/bin/x\", \"{{ new.secret }}\"]\n").contains("holds a template"));
    assert!(wrong("run = [\"/bin/x\", \"a\\u0000b\"]\n").contains("NUL"));
    let all = wrong(
        "run = [\"/bin/x\"]\ntimeout = \"0s\"\ndir = \"here\"\nretries = 3\n[env]\nCUTOVER_POLICY = \"x\"\nTOKEN = { env = \"T\" }\nA = \"{{ new.secret }}\"\n\"B=C\" = \"x\"\nN = 1\n",
    );
    for part in [
        "x.toml:2:11: policy.crm.redeploy[1].timeout: is 0s: must be from 1s to 24h",
        "dir: \"here\" is not an absolute path",
        "x.toml:4:1: policy.crm.redeploy[1].retries: unknown key",
        "env.CUTOVER_POLICY: is set by cutover itself",
        "x.toml:7:9: policy.crm.redeploy[1].env.TOKEN: is a reference to a secret: secrets never go through the environment",
        "env.A: holds a template",
        "env.B=C: is no name of a variable",
        "env.N: is an integer",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
}
