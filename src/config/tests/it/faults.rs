//! One fault each: where it is found, and all that is said.

use crate::base::{AROUND, load_all, printed};

/// The file the faults of policies are made in.
pub const POLICY: &str = r#"[policy.p]
provider = "plana"
params = { base_name = "x" }
cadence = "1y"

[[policy.p.target]]
store = "vault"
path = "a"
fields = { K = "{{ new.secret }}" }
"#;

/// In which file, what is replaced by what, and everything that is said.
const MAIN: &[(&str, &str, &str)] = &[
    (
        "name = \"prod\"\n",
        "",
        "c.toml:1:1: daemon.name: missing: a name for this installation, such as \"prod\": it stands in every alert",
    ),
    (
        "name = \"prod\"",
        "name = \"\"",
        "c.toml:2:8: daemon.name: is empty: a name for this installation, such as \"prod\": it stands in every alert",
    ),
    ("name = \"prod\"", "nam = \"prod\"\nname = \"x\"", "c.toml:2:1: daemon.nam: unknown key: did you mean \"name\"?"),
    (
        "seal = { credential = \"seal-key\" }\n",
        "",
        "c.toml:1:1: daemon.seal: missing: the sealing key, made by `cutover keygen`: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "{ credential = \"seal-key\" }",
        "\"hunter2\"",
        "c.toml:3:8: daemon.seal: a secret stands here in clear: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "{ credential = \"seal-key\" }",
        "[]",
        "c.toml:3:8: daemon.seal: is empty: at least one reference: the first seals, all open",
    ),
    (
        "{ credential = \"seal-key\" }",
        "[{ env = \"A\" }, { env = \"B\", file = \"/c\" }]",
        "c.toml:3:24: daemon.seal[1]: names 2 places of a secret: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ env = \"A\", fiel = \"/b\" }",
        "c.toml:3:21: daemon.seal.fiel: unknown key: did you mean \"file\"?",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nledger = \"sqlite:ledger.db\"",
        "c.toml:4:10: daemon.ledger: is not the address of a ledger: must be \"sqlite:\" and an absolute path: \"sqlite:/var/lib/cutover/ledger.db\"",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nledger = \"postgres://db/x\"",
        "c.toml:4:10: daemon.ledger: not yet: this version keeps its ledger in SQLite only: must be \"sqlite:\" and an absolute path: \"sqlite:/var/lib/cutover/ledger.db\"",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nledger = { url = \"postgresql://db/x\", password = { env = \"P\" } }",
        "c.toml:4:18: daemon.ledger.url: not yet: this version keeps its ledger in SQLite only: must be \"sqlite:\" and an absolute path: \"sqlite:/var/lib/cutover/ledger.db\"",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nledger = { url = \"sqlite:/x.db\", password = { env = \"P\" } }",
        "c.toml:4:45: daemon.ledger.password: is of no use: leave it out: an SQLite file has no password",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nledger = \"postgres://cutover:hunter2@db/x\"",
        "c.toml:4:10: daemon.ledger: a password stands in this URL: take it out and give it where a secret belongs: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\ncontrol = \"control.sock\"",
        "c.toml:4:11: daemon.control: is not the absolute path of a socket: such as \"/run/cutover/control.sock\"",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\ncontrol = \"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
        "c.toml:4:11: daemon.control: has 108 bytes: at most 107: a socket's address holds no more",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nlisten = \"localhost\"",
        "c.toml:4:10: daemon.listen: is not an address and a port: must be an address and a port such as \"127.0.0.1:9464\" or \"[::1]:9464\", or \"unix:/run/cutover/web.sock\"; \"\" = off",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nlisten = \"unix:web.sock\"",
        "c.toml:4:10: daemon.listen: is not the absolute path of a socket: such as \"unix:/run/cutover/web.sock\"",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nmax_in_flight = 0",
        "c.toml:4:17: daemon.max_in_flight: is 0: must be from 1 to 4096",
    ),
    (
        "{ credential = \"seal-key\" }",
        "{ credential = \"a\" }\nmax_starts_per_hour = \"many\"",
        "c.toml:4:23: daemon.max_starts_per_hour: is a string: must be an integer",
    ),
    ("[daemon]", "[deamon]\nx = 1\n[daemon]", "c.toml:1:2: deamon: unknown key: did you mean \"daemon\"?"),
    (
        "[daemon]",
        "zzz = 1\n[daemon]",
        "c.toml:1:1: zzz: unknown key: known here: daemon, defaults, emergency, include, notify, policy, provider, store",
    ),
    (
        "[notify.ops]",
        "[notify.ops]\nseverity = \"loud\"",
        "c.toml:6:12: notify.ops.severity: \"loud\" is not known: must be one of \"info\", \"warning\", \"critical\"",
    ),
    (
        "[notify.ops]\nkind = \"smtp\"",
        "[notify.ops]",
        "c.toml:5:1: notify.ops.kind: missing: must be one of \"smtp\", \"webhook\"",
    ),
    (
        "kind = \"smtp\"",
        "kind = \"pager\"",
        "c.toml:6:8: notify.ops.kind: there is no channel of kind \"pager\": must be one of \"smtp\", \"webhook\"",
    ),
    (
        "host = \"smtp.example.com\"",
        "host = \"smtp.example.com\"\nusername = \"u\"\npassword = \"hunter2\"",
        "c.toml:9:12: notify.ops.password: a secret stands here in clear: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "kind = \"vault\"",
        "kind = \"etcd\"",
        "c.toml:12:8: store.vault.kind: there is no store of kind \"etcd\": must be one of \"vault\", \"aws-secrets-manager\", \"file\"",
    ),
    (
        "token = { env = \"VAULT_TOKEN\" }",
        "token = \"hunter2\"",
        "c.toml:14:36: store.vault.auth.token: a secret stands here in clear: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "[store.aws]",
        "[store.aws]\nholders = [\"\"]",
        "c.toml:17:11: store.aws.holders: holds an empty string: words that are not empty",
    ),
    ("[store.aws]", "[store.aws]\nholders = [\"a\", \"a\"]", "c.toml:17:11: store.aws.holders: names \"a\" twice: each once"),
    (
        "[store.aws]\nkind = \"aws-secrets-manager\"",
        "[store.aws]\nkind = \"aws-secrets-manager\"\nregoin = \"x\"",
        "c.toml:18:1: store.aws.regoin: unknown key: did you mean \"region\"?",
    ),
    (
        "[store.aws]",
        "[store.\"a b\"]\nkind = \"file\"\nroot = \"/x\"\n[store.aws]",
        "c.toml:16:8: store.a b: is no name: must be 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first",
    ),
    (
        "[provider.bondi]",
        "[provider.blondi]",
        "c.toml:24:11: provider.blondi: there is no definition \"blondi\": a definition of the catalogue (bondi, plana, plana-manual, wrapd-agent-token, wrapd-api-key, wrapd-manual, at-once, own-use, clocked, outputs), as `definition` or as the table's name",
    ),
    (
        "definition = \"wrapd-api-key\"",
        "definition = \"wrapd-key\"",
        "c.toml:31:14: provider.wrapd.definition: there is no definition \"wrapd-key\": a definition of the catalogue (bondi, plana, plana-manual, wrapd-agent-token, wrapd-api-key, wrapd-manual, at-once, own-use, clocked, outputs), as `definition` or as the table's name",
    ),
    (
        "{ file = \"/run/secrets/bondi-jwt\" }",
        "\"hunter2\"",
        "c.toml:25:14: provider.bondi.credential: a secret stands here in clear: write { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "[provider.own-use]",
        "[provider.own-use]\nbase_url = \"https://u:hunter2@api.example.com\"",
        "c.toml:38:12: provider.own-use.base_url: a password stands in this URL: take it out and give it where a secret belongs: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
    (
        "[store.aws]",
        "[emergency]\n[store.aws]",
        "c.toml:16:1: emergency.select: missing: must be \"all\", or a table of tags, policies, providers, holders: { tags = [\"prod\"] }",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = \"some\"\n[store.aws]",
        "c.toml:17:10: emergency.select: is another string than \"all\": must be \"all\", or a table of tags, policies, providers, holders: { tags = [\"prod\"] }",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = {}\n[store.aws]",
        "c.toml:17:10: emergency.select: is empty: write \"all\", or at least one of tags, policies, providers, holders",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = { policies = [\"q\"] }\n[store.aws]",
        "c.toml:17:23: emergency.select.policies: there is no policy \"q\": the name of a [policy.NAME]",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = { providers = [\"q\"] }\n[store.aws]",
        "c.toml:17:24: emergency.select.providers: there is no provider \"q\": the name of a [provider.NAME]",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = { tags = [] }\n[store.aws]",
        "c.toml:17:19: emergency.select.tags: is empty: at least one, or leave the key out",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = { tag = [\"x\"] }\n[store.aws]",
        "c.toml:17:12: emergency.select.tag: unknown key: did you mean \"tags\"?",
    ),
    (
        "[store.aws]",
        "[emergency]\nselect = \"all\"\norder = \"now\"\n[store.aws]",
        "c.toml:18:9: emergency.order: \"now\" is not known: must be one of \"cut-first\", \"deploy-first\"",
    ),
    (
        "[store.aws]",
        "[defaults]\ngarce = \"1h\"\n[store.aws]",
        "c.toml:17:1: defaults.garce: unknown key: did you mean \"grace\"?",
    ),
];

/// The same in the file with the policy.
const IN_POLICY: &[(&str, &str, &str)] = &[
    ("provider = \"plana\"\n", "", "p.toml:1:1: policy.p.provider: missing: the name of a [provider.NAME]"),
    (
        "\"plana\"",
        "\"planna\"",
        "p.toml:2:12: policy.p.provider: there is no provider \"planna\": one of \"at-once\", \"bondi\", \"clocked\", \"outputs\", \"own-use\", \"plana\", \"wrapd\"",
    ),
    ("params = { base_name = \"x\" }\n", "", "p.toml:1:1: policy.p.params.base_name: missing: provider \"plana\" needs it"),
    ("{ base_name = \"x\" }", "{}", "p.toml:3:10: policy.p.params.base_name: missing: provider \"plana\" needs it"),
    (
        "{ base_name = \"x\" }",
        "{ base_name = \"x\", basename = \"y\" }",
        "p.toml:3:29: policy.p.params.basename: unknown key: did you mean \"base_name\"?",
    ),
    (
        "{ base_name = \"x\" }",
        "{ base_name = \"\" }",
        "p.toml:3:24: policy.p.params.base_name: is empty: a value, or no such key",
    ),
    ("{ base_name = \"x\" }", "\"x\"", "p.toml:3:10: policy.p.params: is a string: must be a table"),
    (
        "provider = \"plana\"",
        "provider = \"wrapd\"",
        "p.toml:3:10: policy.p.params: provider \"wrapd\" takes no parameters: leave it out",
    ),
    (
        "cadence = \"1y\"\n",
        "",
        "p.toml:1:1: policy.p.cadence: neither `cadence` nor `cron` is given: a span such as `90d`, or `cron = \"0 3 1 * *\"`",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\ncron = \"0 3 1 * *\"",
        "p.toml:5:8: policy.p.cron: `cadence` and `cron` are both given: one of them",
    ),
    (
        "\"1y\"",
        "\"1year\"",
        "p.toml:4:11: policy.p.cadence: `1year` has an unknown unit: such as `1y`, `6mo`, `2w`, `90d`, `12h` (`m` is a minute)",
    ),
    ("\"1y\"", "12", "p.toml:4:11: policy.p.cadence: is an integer: must be a string"),
    (
        "cadence = \"1y\"",
        "cron = \"0 25 * * *\"",
        "p.toml:4:8: policy.p.cron: `0 25 * * *` is not a cron pattern (Component error: Number out of bounds): minute hour day-of-month month day-of-week, such as `0 3 1 * *`",
    ),
    (
        "cadence = \"1y\"",
        "cron = \"0 3 1 1 *\"\nanchor = \"2026-01-01T00:00:00\"",
        "p.toml:5:10: policy.p.anchor: a cron pattern names its own dates: leave `anchor` out, or give a `cadence` instead",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nanchor = \"soon\"",
        "p.toml:5:10: policy.p.anchor: `soon` is not a point in time: a local time such as `2026-01-15T03:00:00`, a date, or an instant such as `2026-01-15T03:00:00Z`",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\ntimezone = \"Mars/Olympus\"",
        "p.toml:5:12: policy.p.timezone: `Mars/Olympus` is not a known zone: an IANA name such as `Europe/Berlin` or `UTC`",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nwindow = { days = [\"someday\"], from = \"22:00\", to = \"23:00\" }",
        "p.toml:5:19: policy.p.window.days: `someday` is not a weekday: mon, tue, wed, thu, fri, sat, sun",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nwindow = { from = \"22:00\" }",
        "p.toml:5:10: policy.p.window.to: missing: when it closes, \"05:00\"; not later than `from` = on the next day",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nwindow = { from = \"25:00\", to = \"01:00\" }",
        "p.toml:5:19: policy.p.window.from: `25:00` is not a time of day: hours and minutes, such as \"22:00\"",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nwindow = { from = \"22:00\", to = \"23:00\", till = \"x\" }",
        "p.toml:5:42: policy.p.window.till: unknown key: known here: days, from, to",
    ),
    (
        "cadence = \"1y\"",
        "cron = \"0 12 * * mon\"\nwindow = { days = [\"sat\"], from = \"22:00\", to = \"23:00\" }",
        "p.toml:5:10: policy.p.window: no date of cron `0 12 * * mon` ever falls into the window sat 22:00-23:00: a pattern whose time lies inside the window, or a wider window",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\njitter = \"1mo\"",
        "p.toml:5:10: policy.p.jitter: `1mo` has months or years, whose length is not fixed: a fixed length such as `30m`, in s, m, h, d, w",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\ngrace = \"1mo\"",
        "p.toml:5:9: policy.p.grace: \"1mo\" is not a span: months and years have no fixed length: only `cadence` takes mo and y, use d or w here",
    ),
    ("cadence = \"1y\"", "cadence = \"1y\"\ngrace = 24", "p.toml:5:9: policy.p.grace: is an integer: must be a string"),
    (
        "cadence = \"1y\"",
        "cadence = \"2d\"",
        "p.toml:4:11: policy.p.cadence: rotates after 2d at the soonest, and one rotation takes grace 24h + quiet 6h + soak 24h = 2d 6h: rarer dates, or shorter spans",
    ),
    (
        "cadence = \"1y\"",
        "cron = \"0 3 * * *\"",
        "p.toml:4:8: policy.p.cron: rotates after 24h at the soonest, and one rotation takes grace 24h + quiet 6h + soak 24h = 2d 6h: rarer dates, or shorter spans",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nquiet = \"x\"",
        "p.toml:5:9: policy.p.quiet: \"x\" is not a span: not a span such as \"30s\", \"15m\", \"24h\", \"90d\"",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nsoak = \"1y\"",
        "p.toml:5:8: policy.p.soak: \"1y\" is not a span: months and years have no fixed length: only `cadence` takes mo and y, use d or w here",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nlifetime = \"0s\"",
        "p.toml:5:12: policy.p.lifetime: is no lifetime: how long a new key is to live, such as \"400d\"",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nlifetime = \"x\"",
        "p.toml:5:12: policy.p.lifetime: \"x\" is not a span: not a span such as \"30s\", \"15m\", \"24h\", \"90d\"",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nlifetime = \"90d\"",
        "p.toml:5:12: policy.p.lifetime: the provider takes no lifetime: leave it out: its keys live until they are ended, or as long as the provider says",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"clocked\"\nquiet = \"3h\"\nlifetime = \"365d\"",
        "p.toml:4:12: policy.p.lifetime: a key lives 365d, and 366d can pass until the next one is made: a longer lifetime (the provider may have rounded it down), or more frequent dates",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\ntags = \"prod\"\nholders = [1]",
        "p.toml:6:11: policy.p.holders: is an array: must be a string or an array of strings",
    ),
    ("cadence = \"1y\"", "cadence = \"1y\"\nadopt = \"def_42\"", "p.toml:5:9: policy.p.adopt: is a string: must be a table"),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\nadopt = {}",
        "p.toml:5:9: policy.p.adopt.id: missing: the provider's id of the key that is in use",
    ),
    (
        "cadence = \"1y\"",
        "cadance = \"1y\"\ncadence = \"1y\"",
        "p.toml:4:1: policy.p.cadance: unknown key: did you mean \"cadence\"?",
    ),
    (
        "[[policy.p.target]]\nstore = \"vault\"\npath = \"a\"\nfields = { K = \"{{ new.secret }}\" }\n",
        "",
        "p.toml:1:1: policy.p.target: missing: at least one: where the application reads the key, [[policy.NAME.target]]",
    ),
    ("[[policy.p.target]]", "[policy.p.target]", "p.toml:6:1: policy.p.target: is a table: must be [[policy.p.target]]"),
    (
        "\"vault\"",
        "\"valut\"",
        "p.toml:7:9: policy.p.target[0].store: there is no store \"valut\": one of \"aws\", \"env\", \"vault\"",
    ),
    ("store = \"vault\"\n", "", "p.toml:6:1: policy.p.target[0].store: missing: the name of a [store.NAME]"),
    (
        "path = \"a\"\n",
        "",
        "p.toml:6:1: policy.p.target[0].path: missing: must name a path below the mount such as \"apps/crm\"",
    ),
    (
        "path = \"a\"",
        "path = \"/a\"",
        "p.toml:8:8: policy.p.target[0].path: begins with a slash: must begin with a name: paths are relative to the mount",
    ),
    ("path = \"a\"", "path = \"a\"\npaht = \"b\"", "p.toml:9:1: policy.p.target[0].paht: unknown key: did you mean \"path\"?"),
    (
        "fields = {",
        "feilds = {",
        "p.toml:6:1: policy.p.target[0].fields: neither `fields` nor `value` is given: one of them: fields = { NAME = \"{{ new.secret }}\" }, or value = \"{{ new.secret }}\" for a bare value\np.toml:9:1: policy.p.target[0].feilds: unknown key: did you mean \"fields\"?",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }",
        "value = \"{{ new.secret }}\"",
        "p.toml:9:9: policy.p.target[0].value: a Vault path holds fields, not a bare value: write fields = { NAME = \"{{ new.secret }}\" }",
    ),
    (
        "store = \"vault\"",
        "store = \"aws\"\nvalue = \"{{ new.secret }}\"",
        "p.toml:8:9: policy.p.target[0].value: `fields` and `value` are both given: one of them: fields = { NAME = \"{{ new.secret }}\" }, or value = \"{{ new.secret }}\" for a bare value",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }",
        "fields = \"{{ new.secret }}\"",
        "p.toml:9:10: policy.p.target[0].fields: is a string: must be a table",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }",
        "fields = {}",
        "p.toml:9:10: policy.p.target[0].fields: is empty: at least one field: { NAME = \"{{ new.secret }}\" }",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }",
        "fields = { K = 1 }",
        "p.toml:9:16: policy.p.target[0].fields.K: is an integer: must be a template such as \"{{ new.secret }}\"",
    ),
    (
        "\"{{ new.secret }}\"",
        "\"{{ new.secrt }}\"",
        "p.toml:9:16: policy.p.target[0].fields.K: has a slot that cannot be filled: unknown path {{ new.secrt }}: did you mean \"new.secret\"?",
    ),
    (
        "\"{{ new.secret }}\"",
        "\"{{ new.secret\"",
        "p.toml:9:16: policy.p.target[0].fields.K: is no template: a slot is not closed: write {{ path }}",
    ),
    (
        "\"{{ new.secret }}\"",
        "\"{{ credential }}\"",
        "p.toml:9:16: policy.p.target[0].fields.K: has a slot that cannot be filled: unknown path {{ credential }}: known here: new, old, policy, rotation",
    ),
    (
        "\"{{ new.secret }}\"",
        "\"{{ new.secret? }}\"",
        "p.toml:9:16: policy.p.target[0].fields.K: has a slot that cannot be filled: {{ new.secret? }}: ? may only stand where one slot alone fills a leaf of json or form",
    ),
    (
        "\"{{ new.secret }}\"",
        "\"{{ new.id }}\"",
        "p.toml:6:1: policy.p.target: no settled field holds the new key: write {{ new.secret }} in `fields` or `value` of at least one target",
    ),
    (
        "{ K = \"{{ new.secret }}\" }",
        "{ K = \"{{ new.secret }}\", L = \"{{ new.id | nope }}\" }",
        "p.toml:9:40: policy.p.target[0].fields.L: is no template: unknown filter \"nope\"",
    ),
    (
        "{ K = \"{{ new.secret }}\" }",
        "{ K = \"{{ new.secret }}\", L = \"{{ old.secret }}\" }",
        "p.toml:9:40: policy.p.target[0].fields.L: names {{ old.secret }}: move it to `during`: once settled, a target knows the new key only",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\nduring = { K = \"{{ old.secret }}\" }\n",
        "p.toml:10:10: policy.p.target[0].during: leaves the new key out: write {{ new.secret }} in it too: what is to prove itself must be there while both keys live",
    ),
    (
        "{ K = \"{{ new.secret }}\" }",
        "{ K = \"key:{{ new.secret }}\" }\nduring = { K = \"{{ new.secret }}\", L = \"{{ old.secret }}\" }",
        "p.toml:10:40: policy.p.target[0].during.L: {{ old.secret }} is never known: no settled field is exactly {{ new.secret }}: a field of `fields`, or `value`, with the template \"{{ new.secret }}\": the old value is read there",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\nduring = \"{{ new.secret }}\"\n",
        "p.toml:10:10: policy.p.target[0].during: is a string: must be a table",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.target]]\nstore = \"vault\"\npath = \"a\"\nfields = { K = \"{{ new.id }}\" }\n",
        "p.toml:13:12: policy.p.target[1].fields.K: field \"K\" of \"a\" is named already, at p.toml:9:12 (policy.p.target[0].fields.K): each field of a path in one target of one policy",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.target]]\nstore = \"aws\"\npath = \"b\"\nvalue = \"{{ new.id }}\"\n[[policy.p.target]]\nstore = \"aws\"\npath = \"b\"\nfields = { K = \"{{ new.id }}\" }\n",
        "p.toml:17:10: policy.p.target[2].fields: \"b\" is one bare value already, at p.toml:13:9 (policy.p.target[1].value): each field of a path in one target of one policy",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.target]]\nstore = \"aws\"\npath = \"b\"\nfields = { K = \"{{ new.id }}\" }\n[[policy.p.target]]\nstore = \"aws\"\npath = \"b\"\nvalue = \"{{ new.id }}\"\n",
        "p.toml:17:9: policy.p.target[2].value: \"b\" is written already, at p.toml:13:12 (policy.p.target[1].fields.K): each field of a path in one target of one policy",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.q]\nprovider = \"plana\"\nparams = { base_name = \"y\" }\ncadence = \"1y\"\n[[policy.q.target]]\nstore = \"vault\"\npath = \"a\"\nfields = { K2 = \"{{ new.secret }}\" }\nduring = { K2 = \"{{ new.secret }}\", K = \"{{ old.secret }}\" }\n",
        "p.toml:18:37: policy.q.target[0].during.K: field \"K\" of \"a\" is named already, at p.toml:9:12 (policy.p.target[0].fields.K): each field of a path in one target of one policy",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nrun = [\"/x\"]\n",
        "p.toml:10:1: policy.p.redeploy[0].kind: missing: must be one of \"command\", \"http\", \"systemd\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nkind = \"magic\"\n",
        "p.toml:11:8: policy.p.redeploy[0].kind: there is no redeploy of kind \"magic\": must be one of \"command\", \"http\", \"systemd\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"x\"]\n",
        "p.toml:12:7: policy.p.redeploy[0].run: \"x\" is not an absolute path: must begin with /: which program runs never depends on a search path",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"/x\"]\ntimout = \"1m\"\n",
        "p.toml:13:1: policy.p.redeploy[0].timout: unknown key: did you mean \"timeout\"?",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nkind = \"command\"\nrun = [\"/x\"]\ntimeout = \"24h\"\n",
        "p.toml:1:1: policy.p.grace: \"24h\" is shorter than a cutover can take: redeploy 24h + evidence 0s + margin 2h 24m (10 %, at least 1m) = 26h 24m: at least \"27h\", or shorter time-outs",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"magic\"\n",
        "p.toml:11:8: policy.p.verify[0].kind: there is no verify of kind \"magic\": must be one of \"last-used\", \"confirm\", \"consumer\", \"command\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"last-used\"\nevery = \"0s\"\n",
        "p.toml:12:9: policy.p.verify[0].every: is 0s: must be from 1s to 24h",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"last-used\"\nfor = \"1y\"\n",
        "p.toml:12:7: policy.p.verify[0].for: \"1y\" is not a span: months and years have no fixed length: only `cadence` takes mo and y, use d or w here",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"last-used\"\nrequest = \"x\"\n",
        "p.toml:12:1: policy.p.verify[0].request: unknown key: known here: covers, every, for, kind",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"confirm\"\nevery = \"1m\"\n",
        "p.toml:12:1: policy.p.verify[0].every: unknown key: known here: covers, kind",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"last-used\"\ncovers = [\"vault:b\"]\n",
        "p.toml:12:10: policy.p.verify[0].covers: the policy has no target \"vault:b\": \"STORE:PATH\" of its targets: \"vault:a\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"consumer\"\nrequest = \"GET https://h/x\"\n",
        "p.toml:10:1: policy.p.verify[0].fingerprint: missing: where the reply names the key: \"/bondi/fingerprint\", or \"\" for the whole body",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.verify]]\nkind = \"command\"\nrun = [\"/x\"]\nevry = \"1m\"\n",
        "p.toml:13:1: policy.p.verify[0].evry: unknown key: did you mean \"every\"?",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"own-use\"\nverify = [{ kind = \"last-used\" }]",
        "p.toml:3:20: policy.p.verify[0].kind: the last use would be cutover's own: another kind: cutover signs with the key itself, and its own calls are no evidence",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"wrapd\"\nverify = [{ kind = \"last-used\" }]",
        "p.toml:3:20: policy.p.verify[0].kind: the provider does not tell when a key was last used: another kind: \"consumer\", \"command\" or \"confirm\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nnotify = [\"opps\"]\n",
        "p.toml:11:10: policy.p.alert.notify: there is no channel \"opps\": one of \"ops\"",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nnotify = []\n",
        "p.toml:11:10: policy.p.alert.notify: names no channel: at least one, or leave it out: every channel is told",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nat = [\"75%\", \"50%\"]\n",
        "p.toml:11:6: policy.p.alert.at: holds something else than ascending percentages: percentages from \"1%\" to \"99%\", each larger than the one before: [\"50%\", \"75%\", \"90%\"]",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nat = [\"100%\"]\n",
        "p.toml:11:6: policy.p.alert.at: holds something else than ascending percentages: percentages from \"1%\" to \"99%\", each larger than the one before: [\"50%\", \"75%\", \"90%\"]",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nat = [50]\n",
        "p.toml:11:6: policy.p.alert.at: is an array: must be a string or an array of strings",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.p.alert]\nta = [\"50%\"]\n",
        "p.toml:11:1: policy.p.alert.ta: unknown key: did you mean \"at\"?",
    ),
    (
        "cadence = \"1y\"",
        "cadence = \"1y\"\ngrace = \"5m\"\nredeploy = [{ kind = \"command\", run = [\"/x\"], timeout = \"10m\" }]",
        "p.toml:5:9: policy.p.grace: \"5m\" is shorter than a cutover can take: redeploy 10m 5s + evidence 0s + margin 1m (10 %, at least 1m) = 11m 5s: at least \"12m\", or shorter time-outs",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"wrapd\"\ngrace = \"0s\"",
        "p.toml:3:9: policy.p.grace: \"0s\" is shorter than a cutover can take: redeploy 0s + evidence 0s + margin 1m (10 %, at least 1m) = 1m: at least \"15m\", or shorter time-outs",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"wrapd\"\ngrace = \"15m\"\nredeploy = [{ kind = \"command\", run = [\"/x\"], timeout = \"20m\" }]",
        "p.toml:3:9: policy.p.grace: \"15m\" is shorter than a cutover can take: redeploy 20m 5s + evidence 0s + margin 2m (10 %, at least 1m) = 22m 5s: at least \"1h\", or shorter time-outs",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"wrapd\"\ngrace = \"8d\"",
        "p.toml:3:9: policy.p.grace: \"8d\" is longer than the provider offers: at most \"7d\"",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"bondi\"\nparams = { workspace = \"w\", slug = \"s\" }\ngrace = \"25h\"",
        "p.toml:4:9: policy.p.grace: \"25h\" is longer than the provider offers: at most \"24h\"",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"bondi\"\nparams = { workspace = \"w\", slug = \"s\" }\nredeploy = [{ kind = \"command\", run = [\"/x\"], timeout = \"24h\" }]",
        "p.toml:1:1: policy.p.grace: \"24h\" is shorter than a cutover can take: redeploy 24h + evidence 0s + margin 2h 24m (10 %, at least 1m) = 26h 24m: shorter time-outs: the provider offers no longer grace",
    ),
    (
        "provider = \"plana\"\nparams = { base_name = \"x\" }",
        "provider = \"clocked\"\ngrace = \"8h\"\nquiet = \"6h\"",
        "p.toml:4:9: policy.p.quiet: quiet 6h + what the provider is late with last uses 3h = 9h, and the old key lives 8h only: at most \"5h\", or a longer grace",
    ),
    (
        "[policy.p]",
        "include = [\"x.toml\"]\n[policy.p]",
        "p.toml:1:1: include: stands in an included file: must stand in the main file; included files hold only policy, provider, store",
    ),
    (
        "[policy.p]",
        "[daemon]\nname = \"x\"\n[policy.p]",
        "p.toml:1:2: daemon: stands in an included file: must stand in the main file; included files hold only policy, provider, store",
    ),
    ("[policy.p]", "[polcy.q]\n[policy.p]", "p.toml:1:2: polcy: unknown key: did you mean \"policy\"?"),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[policy.\"-x\"]\n",
        "p.toml:10:9: policy.-x: is no name: must be 1 to 64 letters, digits, `.`, `_` and `-`, a letter or digit first",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[store.vault]\nkind = \"file\"\nroot = \"/x\"\n",
        "p.toml:10:8: store.vault: there is a [store.vault] already, at c.toml:11:8: one of them, or another name",
    ),
    (
        "fields = { K = \"{{ new.secret }}\" }\n",
        "fields = { K = \"{{ new.secret }}\" }\n[[policy.p.redeploy]]\nkind = \"http\"\nrequest = \"POST https://u:hunter2@h/x\"\n",
        "p.toml:12:11: policy.p.redeploy[0].request: a password stands in this URL: take it out and give it where a secret belongs: { env = \"NAME\" }, { file = \"/path\" } or { credential = \"NAME\" }",
    ),
];

fn broken(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "nothing to replace: {from}");
    text.replacen(from, to, 1)
}

fn compare(wrong: &mut Vec<String>, found: &[String], from: &str, to: &str, expected: &str) {
    if found.join("\n") != expected {
        wrong.push(format!("CASE {from:?} {to:?} => {found:?}"));
    }
}

#[test]
fn every_fault_is_told_with_its_place_and_nothing_else_is() {
    let mut wrong = Vec::new();
    for (from, to, expected) in MAIN {
        let found = printed(load_all(&[("c.toml", &broken(AROUND, from, to))]));
        compare(&mut wrong, &found, from, to, expected);
    }
    for (from, to, expected) in IN_POLICY {
        let found = printed(load_all(&[("c.toml", AROUND), ("p.toml", &broken(POLICY, from, to))]));
        compare(&mut wrong, &found, from, to, expected);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
