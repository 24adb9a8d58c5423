//! What holds for a configuration as a whole: files, defaults, secrets, notes, size.

use std::fmt::Write as _;

use cutover_api::{Problems, Reader, Span};
use cutover_config::{Kinds, load};

use crate::base::{AROUND, load_all, notes, printed, problems, sound};
use crate::faults::POLICY;
use crate::kinds::Real;

/// A policy with further lines of its own and after its target.
fn policy(name: &str, head: &str, tail: &str) -> String {
    format!(
        "[policy.{name}]\n{head}\n[[policy.{name}.target]]\nstore = \"aws\"\npath = \"{name}\"\nvalue = \"{{{{ new.secret }}}}\"\n{tail}\n"
    )
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_lines() {
    let found = problems(
        "\
stray = 1
[daemon]
name = 5
listen = \"here\"
[store.a]
kind = \"file\"
root = \"relative\"
[provider.bondi]
credential = \"hunter2\"
[policy.p]
provider = \"bondi\"
cadence = \"often\"
jitter = \"1y\"
grace = \"long\"
[[policy.p.target]]
store = \"b\"
fields = { K = \"{{ knew.secret }}\" }
[policy.p.alert]
at = [\"0%\"]
",
    );
    let places: Vec<_> = found.iter().map(|line| line.splitn(5, ':').take(4).collect::<Vec<_>>().join(":")).collect();
    assert_eq!(
        places,
        [
            "c.toml:1:1: stray",
            "c.toml:2:1: daemon.seal",
            "c.toml:3:8: daemon.name",
            "c.toml:4:10: daemon.listen",
            "c.toml:7:8: store.a.root",
            "c.toml:9:14: provider.bondi.credential",
            "c.toml:12:11: policy.p.cadence",
            "c.toml:13:10: policy.p.jitter",
            "c.toml:14:9: policy.p.grace",
            "c.toml:16:9: policy.p.target[0].store",
            "c.toml:17:16: policy.p.target[0].fields.K",
            "c.toml:19:6: policy.p.alert.at",
        ],
        "{found:#?}"
    );
}

#[test]
fn spans_that_do_not_fit_are_told_beside_other_faults() {
    let head = "provider = \"wrapd\"\ncadence = \"1d\"\ngrace = \"15m\"\nquiet = \"x\"";
    let tail =
        "[[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"/x\"]\ntimeout = \"1h\"\n[[policy.p.redeploy]]\nkind = \"none\"\n";
    let found = problems(&format!("{AROUND}{}", policy("p", head, tail)));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].contains("policy.p.cadence: rotates after 24h at the soonest"), "{found:#?}");
    assert!(found[1].contains("policy.p.grace: \"15m\" is shorter than a cutover can take: redeploy 1h"), "{found:#?}");
    assert!(found[2].contains("policy.p.quiet: \"x\" is not a span"), "{found:#?}");
    assert!(found[3].contains("policy.p.redeploy[1].kind: there is no redeploy of kind \"none\""), "{found:#?}");
}

#[test]
fn broken_toml_is_told_for_every_file_and_nothing_is_guessed_from_the_rest() {
    let found = printed(load_all(&[("c.toml", "a = \"hunter2\nb = 1\n"), ("p.toml", "[policy.p\n"), ("q.toml", "zzz = 1\n")]));
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("c.toml:1:"), "{found:?}");
    assert!(found.last().expect("two").starts_with("p.toml:1:"), "{found:?}");
    assert!(!found.join("\n").contains("hunter2"), "{found:?}");
}

#[test]
fn no_secret_in_clear_is_ever_repeated() {
    const CANARY: &str = "hunter2-canary";
    let url = "https://user:hunter2-canary@host.example.com";
    let files = [
        "[daemon]\nname = \"x\"\nseal = \"CANARY\"\nledger = \"postgres://u:CANARY@db/x\"\nlisten = \"http://u:CANARY@h\"\n\
         control = \"URL\"\n",
        "[daemon]\nname = \"x\"\nseal = [\"CANARY\", { env = \"A\", password = \"CANARY\" }]\nledger = { url = \"sqlite:/x\", password = \"CANARY\" }\n",
        "[notify.a]\nkind = \"smtp\"\nhost = \"URL\"\npassword = \"CANARY\"\nfrom = \"URL\"\nto = [\"URL\"]\npasswd = \"CANARY\"\n",
        "[notify.a]\nkind = \"webhook\"\nrequest = \"POST URL/x\"\ncredential = \"CANARY\"\n",
        "[notify.a]\nkind = \"URL\"\nseverity = \"URL\"\nholders = [\"URL\", \"URL\"]\n",
        "[store.a]\nkind = \"vault\"\naddress = \"URL\"\nauth = { method = \"approle\", role_id = \"x\", secret_id = \"CANARY\" }\n",
        "[store.a]\nkind = \"vault\"\naddress = \"https://v\"\nauth = { method = \"token\", token = \"CANARY\", tokn = \"CANARY\" }\n",
        "[store.a]\nkind = \"aws-secrets-manager\"\nregion = \"URL\"\nendpoint_url = \"URL\"\nsecret_key = \"CANARY\"\n",
        "[store.a]\nkind = \"file\"\nroot = \"URL\"\n",
        "[provider.bondi]\ncredential = \"CANARY\"\nbase_url = \"URL\"\ndefinition = \"URL\"\n",
        "[provider.bondi]\ncredential = { fiel = \"CANARY\" }\nbase_url = \"URL\"\nca = \"URL\"\nclient_cert = \"CANARY\"\n",
        "[emergency]\nselect = { policies = [\"URL\"], providers = [\"URL\"], tags = [\"URL\"] }\norder = \"URL\"\n",
        "include = [\"URL\"]\n[defaults]\ntoken = \"CANARY\"\n",
        "[provider.bondi]\ncredential = { env = \"X\" }\n[store.s]\nkind = \"file\"\nroot = \"/x\"\n\
         [policy.p]\nprovider = \"URL\"\ncadence = \"URL\"\ngrace = \"URL\"\nquiet = \"URL\"\nanchor = \"URL\"\ntimezone = \"URL\"\n\
         jitter = \"URL\"\nwindow = { days = [\"URL\"], from = \"URL\", to = \"URL\" }\ntags = [\"URL\"]\nadopt = \"CANARY\"\n\
         [[policy.p.target]]\nstore = \"URL\"\npath = \"URL\"\nfields = { K = \"URL{{ x | y }}\" }\nduring = \"CANARY\"\n\
         [[policy.p.target]]\nstore = \"s\"\npath = \"URL\"\nformat = \"URL\"\nmode = \"URL\"\nvalue = \"URL\"\n\
         [[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"URL\"]\nenv = { TOKEN = { env = \"CANARY\" } }\n\
         [[policy.p.redeploy]]\nkind = \"http\"\nrequest = \"POST URL\"\ncredential = \"CANARY\"\n\
         [[policy.p.verify]]\nkind = \"consumer\"\nrequest = \"URL\"\nfingerprint = \"URL\"\ncovers = [\"URL\"]\n\
         [policy.p.alert]\nnotify = [\"URL\"]\nat = [\"URL\"]\n",
    ];
    for file in files {
        let text = file.replace("URL", url).replace("CANARY", CANARY);
        let found = problems(&text);
        assert!(!found.is_empty(), "{text}");
        assert!(!found.join("\n").contains(CANARY), "{text}\n{found:#?}");
        let urls = text.matches("://u").count();
        let told = found.iter().filter(|line| line.contains("a password stands in this URL: take it out")).count();
        assert_eq!(told, urls, "{text}\n{found:#?}");
    }
}

#[test]
fn a_password_is_found_in_a_file_that_is_sound_otherwise() {
    let text =
        format!("{AROUND}{}", policy("p", "provider = \"wrapd\"\ncadence = \"1y\"\ntags = [\"see https://u:pw@wiki\"]", ""));
    assert_eq!(problems(&text).len(), 1);
}

#[test]
fn a_literal_credential_of_a_request_is_refused_and_not_repeated() {
    let verify = |auth: &str| {
        let verify =
            format!("[[policy.p.verify]]\nkind = \"consumer\"\nrequest = \"GET https://h/x\"\nfingerprint = \"/f\"\n{auth}");
        problems(&format!("{AROUND}{}", policy("p", "provider = \"wrapd\"\ncadence = \"1y\"", &verify)))
    };
    for auth in [
        "auth = { bearer = \"hunter2\" }",
        "auth = { basic = { user = \"u\", password = \"hunter2\" } }",
        "auth = { header = { X-Key = \"hunter2\" } }",
        "headers = { authorization = \"Bearer hunter2\" }",
    ] {
        let found = verify(auth);
        assert_eq!(found.len(), 1, "{auth} {found:#?}");
        assert!(found[0].contains("a secret stands here in clear: write {{ credential }} here"), "{found:#?}");
        assert!(!found[0].contains("hunter2"), "{found:#?}");
    }
    assert_eq!(verify("auth = { bearer = \"{{ credential }}\" }\ncredential = { env = \"X\" }"), Vec::<String>::new());
}

#[test]
fn defaults_hold_for_every_policy_and_are_replaced_whole() {
    let defaults = "
[defaults]
cadence = \"1y\"
anchor = \"2026-03-01\"
grace = \"20h\"
quiet = \"2h\"
tags = [\"prod\", \"eu\"]
redeploy = [{ kind = \"command\", run = [\"/a\"] }, { kind = \"command\", run = [\"/b\"] }]
verify = [{ kind = \"command\", run = [\"/v\"] }]
alert = { notify = [\"ops\"], at = [\"10%\"] }
window = { days = [\"sat\"], from = \"01:00\", to = \"02:00\" }
";
    let own = "provider = \"wrapd\"\ntags = [\"staging\"]\ngrace = \"6h\"\ncron = \"30 3 * * mon\"\nsoak = \"0s\"\nwindow = { from = \"03:00\", to = \"04:00\" }\n";
    let tail = "[[policy.b.redeploy]]\nkind = \"command\"\nrun = [\"/c\"]\n[[policy.b.verify]]\nkind = \"confirm\"\n[policy.b.alert]\nat = [\"99%\"]\n";
    let config = sound(&format!("{AROUND}{defaults}{}{}", policy("a", "provider = \"wrapd\"", ""), policy("b", own, tail)));
    let (a, b) = (&config.policies["a"], &config.policies["b"]);
    let anchor = "2026-03-01T00:00:00 2026-03-01T00:00:00Z";
    assert_eq!(a.schedule.identity(), format!("span 1y; anchor {anchor}; zone UTC; window sat 01:00-02:00; jitter 0s"));
    assert_eq!((a.grace, a.grace_mapped, a.quiet), (Span::hours(20), Span::hours(24), Span::hours(2)));
    assert_eq!((a.redeploy.len(), a.verify[0].kind_name.as_str(), a.verify.len()), (2, "command", 1));
    assert_eq!((a.tags.as_slice(), a.at.as_slice()), (["prod".to_owned(), "eu".to_owned()].as_slice(), [10].as_slice()));
    // `cron` replaces `cadence` and the anchor with it; of `alert` nothing is mixed in.
    assert_eq!(b.schedule.identity(), "cron 30 3 * * mon; anchor drawn; zone UTC; window 03:00-04:00; jitter 0s");
    assert_eq!((b.grace, b.quiet, b.tags.as_slice()), (Span::hours(6), Span::hours(2), ["staging".to_owned()].as_slice()));
    assert_eq!((b.redeploy.len(), b.verify[0].kind_name.as_str()), (1, "confirm"));
    assert_eq!((b.notify.as_slice(), b.at.as_slice()), ([].as_slice(), [99].as_slice()));
}

#[test]
fn what_is_wrong_with_a_default_is_told_once_and_what_does_not_fit_names_the_policy() {
    let two = format!(
        "{}{}",
        policy("a", "provider = \"wrapd\"\ncadence = \"1y\"", ""),
        policy("b", "provider = \"wrapd\"\ncadence = \"1y\"", "")
    );
    let found = problems(&format!("{AROUND}[defaults]\nsoak = \"x\"\nalert = {{ notify = [\"nobody\"] }}\n{two}"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains(": defaults.soak: \"x\" is not a span"), "{found:#?}");
    assert!(found[1].contains(": defaults.alert.notify: there is no channel \"nobody\""), "{found:#?}");

    let found = problems(&format!("{AROUND}[defaults]\ngrace = \"0s\"\n{two}"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains(": policy.a.grace: \"0s\" is shorter"), "{found:#?}");
    assert!(found[0].contains("(\"grace\" is that of [defaults])"), "{found:#?}");
    assert!(found[1].contains(": policy.b.grace: \"0s\" is shorter"), "{found:#?}");
}

#[test]
fn an_outage_that_cannot_be_avoided_is_noted() {
    let hook = "[[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"/x\"]\ntimeout = \"55s\"\n[[policy.p.verify]]\nkind = \"command\"\nrun = [\"/v\"]";
    let text = format!("{AROUND}{}", policy("p", "provider = \"at-once\"\ncadence = \"1y\"", hook));
    assert_eq!(
        notes(&text),
        ["c.toml:44:9: policy.p.grace: the provider ends the old key as soon as a new one is made, whatever is asked for: \
          expect an outage of up to 1m 30s at each rotation; choose a quiet `window`"]
    );
}

#[test]
fn what_should_be_known_is_noted() {
    let head = "provider = \"plana\"\nparams = { base_name = \"x\" }\ncadence = \"2y\"";
    let found = notes(&format!("{AROUND}{}", policy("p", head, "")));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("policy.p.cadence: rotates every 2 years only"), "{found:#?}");
    assert!(found[1].contains("policy.p.verify: nothing but a person's `confirm`"), "{found:#?}");

    let more = "[[policy.p.target]]\nstore = \"vault\"\npath = \"b\"\nfields = { K = \"{{ new.id }}\" }\n\
                [[policy.p.verify]]\nkind = \"last-used\"\ncovers = [\"aws:p\"]\n[[policy.p.verify]]\nkind = \"confirm\"\n";
    let found = notes(&format!("{AROUND}{}", policy("p", &head.replace("2y", "1y"), more)));
    assert_eq!(
        found,
        ["c.toml:52:1: policy.p.target: no verify covers \"vault:b\": name it in `covers` of a verify that sees it"]
    );

    let bondi = "provider = \"bondi\"\nparams = { workspace = \"w\", slug = \"s\" }\ncadence = \"1y\"\nverify = [{ kind = \"command\", run = [\"/v\"] }]";
    let found = notes(&format!("{AROUND}{}{}", policy("p", bondi, ""), policy("q", bondi, "")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("policy.q: has the provider and params of policy p at c.toml:44:9"), "{found:#?}");

    let wrapd = |more: &str| {
        let head = format!("provider = \"wrapd\"\ncadence = \"1y\"\nverify = [{{ kind = \"command\", run = [\"/v\"] }}]{more}");
        notes(&format!("{AROUND}{}", policy("p", &head, "")))
    };
    assert_eq!(wrapd("\nadopt = { id = \"k1\" }"), Vec::<String>::new());
    let found = wrapd("");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("policy.p.adopt: the provider's call for a new key needs old.id of the key in use"),
        "{found:#?}"
    );

    let alone = "[daemon]\nname = \"x\"\nseal = { env = \"S\" }\n[emergency]\nselect = { tags = [\"x\"] }\n\
                 [store.aws]\nkind = \"aws-secrets-manager\"\nregion = \"eu-central-1\"\n[provider.bondi]\ncredential = { env = \"X\" }\n";
    let found = notes(&format!("{alone}{}", policy("p", bondi, "")));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("notify: no channel is configured: alerts reach nobody"), "{found:#?}");
    assert!(found[1].contains("emergency.select: selects no policy: SIGUSR1 would change nothing"), "{found:#?}");
    // Regression: who could read the store holds the policy's key too, on the command line as at the signal.
    let held = alone.replace("tags = [\"x\"]", "holders = [\"dana\"]").replace("region =", "holders = [\"dana\"]\nregion =");
    let found = notes(&format!("{held}{}", policy("p", bondi, "")));
    assert!(!found.iter().any(|note| note.contains("selects no policy")), "{found:#?}");
}

#[test]
fn outputs_of_a_definition_may_be_named() {
    let fields = |text: &str| {
        let target = format!("fields = {{ K = \"{{{{ new.secret }}}}\", U = \"{{{{ new.user }}}}\", {text} }}");
        let policy =
            policy("p", "provider = \"outputs\"\ncadence = \"1y\"", "").replace("value = \"{{ new.secret }}\"", &target);
        problems(&format!("{AROUND}{policy}"))
    };
    assert_eq!(fields("T = \"{{ new.totp }}\""), Vec::<String>::new());
    assert!(fields("T = \"{{ new.totpp }}\"")[0].contains("unknown path {{ new.totpp }}: did you mean \"new.totp\"?"));
    assert!(fields("T = \"{{ old.totp }}\"")[0].contains("names {{ old.totp }}: move it to `during`"));
    assert_eq!(fields("T = \"{{ old.user }}-{{ policy.name }}-{{ rotation.year }}\""), Vec::<String>::new());
}

#[test]
fn two_names_of_one_store_are_one_store() {
    let alias = "[store.aws2]\nkind = \"aws-secrets-manager\"\nregion = \"eu-central-1\"\n";
    let head = "provider = \"wrapd\"\ncadence = \"1y\"";
    let other = policy("q", head, "").replace("\"aws\"", "\"aws2\"").replace("path = \"q\"", "path = \"p\"");
    let found = problems(&format!("{AROUND}{alias}{}{other}", policy("p", head, "")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("policy.q.target[0].value: \"p\" is written already, at c.toml:"), "{found:#?}");
}

#[test]
fn a_policy_twice_names_both_places() {
    let found = printed(load_all(&[("c.toml", AROUND), ("p.toml", POLICY), ("q.toml", POLICY)]));
    assert_eq!(found, ["q.toml:1:9: policy.p: there is a [policy.p] already, at p.toml:1:9: one of them, or another name"]);
}

#[test]
fn included_files_are_found_sorted_and_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::create_dir(at("policies.d")).expect("made");
    let include = "include = [\"policies.d/*.toml\", \"policies.d/b.toml\", \"nothing.d/*.toml\", \"*.none\", \"*.toml\"]\n";
    std::fs::write(at("cutover.toml"), format!("{include}{AROUND}")).expect("written");
    for name in ["b", "a"] {
        let text = policy(name, "provider = \"wrapd\"\ncadence = \"1y\"", "");
        std::fs::write(at(&format!("policies.d/{name}.toml")), text).expect("written");
    }
    std::fs::write(at("policies.d/.hidden.toml"), "not toml at all").expect("written");
    std::fs::write(at("policies.d/a.toml~"), "not toml at all").expect("written");
    std::fs::create_dir(at("policies.d/c.toml")).expect("made");
    let config = load(&at("cutover.toml"), &Real::new()).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(config.file, at("cutover.toml"));
    assert_eq!(config.policies.keys().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(&*config.policies["a"].place.file, at("policies.d/a.toml").to_str().expect("text"));

    std::fs::write(at("policies.d/d.toml"), "[daemon]\nx = 1\n").expect("written");
    std::fs::write(at("policies.d/e.toml"), policy("a", "provider = \"wrapd\"\ncadence = \"1y\"", "")).expect("written");
    let found = printed(load(&at("cutover.toml"), &Real::new()));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].contains("d.toml:1:2: daemon: stands in an included file: must stand in the main file"), "{found:#?}");
    assert!(found[1].contains("e.toml:1:9: policy.a: there is a [policy.a] already, at "), "{found:#?}");
    assert!(found[1].contains("a.toml:1:9"), "{found:#?}");
}

#[test]
fn files_that_cannot_be_read_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let main = directory.path().join("cutover.toml");
    let found = printed(load(&main, &Real::new()));
    assert_eq!(
        found,
        [format!(
            "{}: there is no such file: write one with `cutover init`, or name yours with --config or CUTOVER_CONFIG",
            main.display()
        )]
    );
    std::fs::write(&main, "include = [\"gone.toml\", \"*/x.toml\", 7]\n").expect("written");
    let found = printed(load(&main, &Real::new()));
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("cutover.toml:1:12: include: there is no file "), "{found:#?}");
    assert!(found[1].contains("cutover.toml:1:25: include: \"*/x.toml\" is no such pattern"), "{found:#?}");
    assert!(found[2].contains("cutover.toml:1:37: include: holds an integer"), "{found:#?}");
}

#[test]
fn plugins_are_built_again_from_what_is_kept() {
    let text = include_str!("../../../../config.example.toml")
        .replace("#holders = []", "holders = [\"dana\"]")
        .replace("#severity =", "severity =");
    let config = sound(&text);
    let kinds = Real::new();
    let problems = Problems::default();
    for (name, channel) in &config.notify {
        assert_eq!(channel.holders, ["dana"]);
        assert!(kinds.notifier(&channel.kind, &Reader::new(&channel.table, name, &problems)).is_some());
    }
    for (name, store) in &config.stores {
        assert!(kinds.store(&store.kind, &Reader::new(&store.table, name, &problems)).is_some());
    }
    for (name, provider) in &config.providers {
        assert!(kinds.provider(&provider.definition, &Reader::new(&provider.table, name, &problems)).is_some());
    }
    for policy in config.policies.values() {
        for hook in &policy.redeploy {
            assert!(kinds.hook(&hook.kind, &Reader::new(&hook.table.table(), "redeploy", &problems)).is_some());
        }
        for verify in policy.verify.iter().filter(|verify| !["confirm", "last-used"].contains(&verify.kind_name.as_str())) {
            assert!(kinds.witness(&verify.kind_name, &Reader::new(&verify.table.table(), "verify", &problems)).is_some());
        }
    }
    assert_eq!(problems.take(), []);
}

#[test]
fn five_thousand_policies_load() {
    let mut text = String::new();
    for n in 0..5_000 {
        write!(
            text,
            "[policy.p{n}]\nprovider = \"bondi\"\nparams = {{ workspace = \"w\", slug = \"s{n}\" }}\ncadence = \"90d\"\ntags = [\"t{}\"]\n\
             [[policy.p{n}.target]]\nstore = \"vault\"\npath = \"apps/{}\"\nfields = {{ TOKEN_{n} = \"{{{{ new.secret }}}}\" }}\n\
             [[policy.p{n}.verify]]\nkind = \"command\"\nrun = [\"/v\", \"{n}\"]\n",
            n % 10,
            n / 100,
        )
        .expect("written");
    }
    let config = sound(&format!("{AROUND}{text}"));
    assert_eq!((config.policies.len(), config.notes.len()), (5_000, 0));
    let policy = &config.policies["p4321"];
    assert_eq!((policy.params["slug"].as_str(), policy.tags[0].as_str()), (Some("s4321"), "t1"));
    assert_eq!(policy.targets[0].spec.path, "apps/43");

    // One field of the last policy is also that of the first.
    let clash = text.replace("TOKEN_4999 =", "TOKEN_4900 =");
    let found = problems(&format!("{AROUND}{clash}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].contains("policy.p4999.target[0].fields.TOKEN_4900: field \"TOKEN_4900\" of \"apps/49\" is named already"),
        "{found:#?}"
    );
}
