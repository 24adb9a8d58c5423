//! What is wrong with a table is named, all of it at once.

use crate::common::{read, world};

const GOOD: &str = "kind = \"smtp\"\nseverity = \"warning\"\nholders = [\"dana@example.com\"]\nhost = \"smtp.example.com\"\nfrom = \"Cutover <cutover@example.com>\"\nto = [\"ops@example.com\"]\n";

#[test]
fn a_good_table_is_taken() {
    for more in [
        "",
        "tls = \"implicit\"\nport = 465\n",
        "username = \"u\"\npassword = { credential = \"smtp\" }\nca = \"/etc/ca.pem\"\ntimeout = \"10s\"\n",
    ] {
        let (notifier, problems) = read(&format!("{GOOD}{more}"), &world());
        assert!(notifier.is_some() && problems.is_empty(), "{problems:?}");
    }
    for host in ["localhost", "127.0.0.1", "::1"] {
        let (notifier, problems) =
            read(&format!("host = {host:?}\ntls = \"none\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\n"), &world());
        assert!(notifier.is_some() && problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn every_mistake_is_named() {
    let wrong = |text: &str| {
        let (notifier, problems) = read(text, &world());
        assert!(notifier.is_none(), "{text}");
        problems.join("\n")
    };
    let all = wrong("kind = \"smtp\"\ntls = \"never\"\nport = 0\nretries = 1\n");
    for part in [
        "host: missing",
        "from: missing",
        "to: missing",
        "tls: \"never\" is not known",
        "port: is 0",
        "x.toml:4:1: notify.ops.retries: unknown key",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
    let all = wrong(
        "host = \"https://smtp.example.com\"\nfrom = \"a@example.com\\r\\nBcc: b@example.com\"\nto = [\"nobody\", \"jörg@example.com\"]\nusername = \"u\"\ntimeout = \"0s\"\nca = \"ca.pem\"\n",
    );
    for part in [
        "host: \"https://smtp.example.com\" is no host",
        "from: ",
        "to: \"nobody\" is no mail address",
        "in ASCII",
        "username: stands without `password`",
        "timeout: is 0s",
        "ca: \"ca.pem\" is not an absolute path",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
    assert!(wrong(&format!("{GOOD}tls = \"none\"\n")).contains("without TLS only"));
    assert!(wrong(&format!("{GOOD}username = \"u\"\npassword = \"hunter2\"\n")).contains("a secret stands here in clear"));
    assert!(wrong(&GOOD.replace("[\"ops@example.com\"]", "[]")).contains("must hold from 1 to 100"));
}
