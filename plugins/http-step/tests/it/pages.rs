use cutover_api::Outcome;
use cutover_http_step::{Extracted, Listed, Origins};

use crate::support::{Answer, Server, Standing, answer, http, list, reply, vars};

const ROW: &str = "rows = \"/keys\"\nrow = { id = \"/id\", secret = \"/secret\", name = \"/name\", scopes = \"/scopes\" }\n";

async fn run(text: &str, answers: Vec<Answer>) -> (Result<Listed, String>, Vec<String>) {
    let server = Server::start(answers).await;
    let (done, seen) = run_on(text, &server, &server.origins()).await;
    (done, seen)
}

async fn run_on(text: &str, server: &Server, origins: &Origins) -> (Result<Listed, String>, Vec<String>) {
    let (step, rows) = list(text);
    let done = match rows.run(&step, &http(), origins, &vars(&[]), &Standing).await {
        Outcome::Done(listed) => Ok(listed),
        Outcome::Refused(refusal) => Err(refusal.class.label().to_owned()),
        Outcome::Unknown(cause) => Err(format!("unknown {}", cause.label)),
    };
    (done, server.seen().iter().map(|request| request.lines().next().unwrap_or("").to_owned()).collect())
}

fn page(ids: &[&str], rest: &str) -> Answer {
    answer(
        "200 OK",
        "",
        &format!(r#"{{"keys":[{}]{rest}}}"#, ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect::<Vec<_>>().join(",")),
    )
}

fn ids(listed: Result<Listed, String>) -> Result<Vec<String>, String> {
    listed.map(|listed| {
        let id = |value: Option<&Extracted>| match value {
            Some(Extracted::Text(id)) => id.clone(),
            _ => panic!("an id"),
        };
        listed.rows.iter().map(|row| id(row.get("id"))).collect()
    })
}

#[test]
fn rows_are_an_array_or_unreadable() {
    let (_, rows) = list(&format!("[s]\nrequest = \"GET /keys\"\n{ROW}"));
    let read =
        |body: &str| rows.read(&reply(200, &[], body), &vars(&[])).map(|rows| rows.len()).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"keys":[]}"#), Ok(0));
    assert_eq!(read(r#"{"keys":[{"id":"a"},{"id":7,"name":null,"secret":null}]}"#), Ok(2));
    assert_eq!(read("{}"), Err("rows (/keys) is missing".to_owned()));
    assert_eq!(read(r#"{"keys":null}"#), Err("rows (/keys) is missing".to_owned()));
    assert_eq!(read(r#"{"keys":{"id":"a"}}"#), Err("rows (/keys) is no array".to_owned()));
    assert_eq!(read(""), Err("rows (/keys) is missing".to_owned()), "no body is not no keys");
    assert_eq!(read("<html>"), Err("rows (/keys) is no JSON".to_owned()));
    assert_eq!(read(r#"{"keys":[{"name":"x"}]}"#), Err("row.id (/id) is missing".to_owned()));
    assert_eq!(read(r#"{"keys":[{"id":""}]}"#), Err("row.id (/id) is missing".to_owned()));
}

#[test]
fn a_secret_of_a_row_is_a_fingerprint_at_once() {
    let (_, rows) = list(&format!("[s]\nrequest = \"GET /keys\"\n{ROW}"));
    let read =
        rows.read(&reply(200, &[], r#"{"keys":[{"id":"a","secret":"hunter2","scopes":["x"]}]}"#), &vars(&[])).expect("reads");
    let Some(Extracted::Fingerprint(fingerprint)) = read[0].get("secret") else { panic!("a fingerprint") };
    assert_eq!(fingerprint.0, "sha256:f52fbd32b2b3b86f");
    assert!(matches!(read[0].get("scopes"), Some(Extracted::Json(_))));
}

#[tokio::test]
async fn a_cursor_goes_into_the_query_until_there_is_none() {
    let text = format!(
        "[s]\nrequest = \"GET /keys\"\nquery = {{ limit = 2 }}\n{ROW}paginate = {{ by = \"cursor\", at = \"/next\", into = \"page[c]\" }}\n"
    );
    let (done, seen) = run(&text, vec![page(&["a"], r#","next":"x/y&z""#), page(&["b"], r#","next":"""#)]).await;
    assert_eq!(ids(done), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(seen, ["GET /keys?limit=2 HTTP/1.1", "GET /keys?limit=2&page%5Bc%5D=x%2Fy%26z HTTP/1.1"]);
}

#[tokio::test]
async fn a_cursor_goes_into_the_form_where_there_is_one() {
    let text = format!(
        "[s]\nrequest = \"POST /\"\nform = {{ Action = \"List\" }}\n{ROW}paginate = {{ by = \"cursor\", at = \"/m\", into = \"Marker\" }}\n"
    );
    let server = Server::start(vec![page(&["a"], r#","m":7"#), page(&["b"], "")]).await;
    let (done, _) = run_on(&text, &server, &server.origins()).await;
    assert_eq!(ids(done), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert!(server.seen()[1].ends_with("\r\n\r\nAction=List&Marker=7"), "{}", server.seen()[1]);
}

#[tokio::test]
async fn pages_are_numbered_until_one_is_empty() {
    let text = format!("[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"page\", into = \"p\", first = 0 }}\n");
    let (done, seen) = run(&text, vec![page(&["a"], ""), page(&["b"], ""), page(&[], "")]).await;
    assert_eq!(ids(done), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(seen, ["GET /keys?p=0 HTTP/1.1", "GET /keys?p=1 HTTP/1.1", "GET /keys?p=2 HTTP/1.1"]);
}

#[tokio::test]
async fn a_list_that_never_ends_proves_nothing() {
    let text = format!("[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"page\", into = \"p\", max_pages = 3 }}\n");
    let (done, seen) = run(&text, vec![page(&["a"], "")]).await;
    assert_eq!((ids(done), seen.len()), (Err("unknown cut-short".to_owned()), 3));
    let text = format!("[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"cursor\", at = \"/next\", into = \"c\" }}\n");
    let (done, seen) = run(&text, vec![page(&["a"], r#","next":"same""#)]).await;
    assert_eq!((ids(done), seen.len()), (Err("unknown cut-short".to_owned()), 2), "the same cursor again");
}

#[tokio::test]
async fn a_failing_page_fails_the_list() {
    let text = format!("[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"page\", into = \"p\" }}\n");
    let (done, _) = run(&text, vec![page(&["a"], ""), answer("500 No", "", "")]).await;
    assert_eq!(ids(done), Err("unknown status-5xx".to_owned()));
    let (done, _) = run(&text, vec![page(&["a"], ""), answer("429 Slow", "", "")]).await;
    assert_eq!(ids(done), Err("throttle".to_owned()));
}

#[tokio::test]
async fn a_link_is_followed_on_the_same_address_only() {
    let text = format!("[auth]\nbearer = \"t0ken\"\n[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"link\" }}\n");
    let linked = |link: &str| answer("200 OK", &format!("Link: {link}\r\n"), r#"{"keys":[{"id":"a"}]}"#);
    let server = Server::start(vec![
        linked("</keys?page=1>; rel=prev, </keys?page=3>; title=\"a,b\"; rel=\"next last\""),
        page(&["b"], ""),
    ])
    .await;
    let (done, seen) = run_on(&text, &server, &server.origins()).await;
    assert_eq!(ids(done), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(seen[1], "GET /keys?page=3 HTTP/1.1");

    let foreign = Server::start(vec![page(&["stolen"], "")]).await;
    let other = foreign.base.clone();
    for link in [
        format!("<{other}/keys?page=2>; rel=next"),
        "<https://evil.example.com/keys?page=2>; rel=next".to_owned(),
        "</other?page=2>; rel=next".to_owned(),
        "<//evil.example.com/keys>; rel=next".to_owned(),
        "</keys>; rel=next".to_owned(),
        "keys; rel=next".to_owned(),
        format!("</keys?page={}>; rel=next", "x".repeat(9000)),
    ] {
        let (done, seen) = run(&text, vec![linked(&link)]).await;
        assert_eq!((ids(done), seen.len()), (Err("unknown cut-short".to_owned()), 1), "{link}");
    }
    assert!(foreign.seen().is_empty(), "a foreign host never hears of us");

    // The same machine and port by another name is another host.
    let (step, rows) = list(&text);
    let server = Server::start(vec![linked("<http://localhost:PORT/keys?page=2>; rel=next"), page(&["b"], "")]).await;
    let done = rows.run(&step, &http(), &server.origins(), &vars(&[]), &Standing).await;
    assert!(matches!(done, Outcome::Unknown(cause) if cause.label == "cut-short"));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_url_in_the_body_is_followed_on_the_same_address_only() {
    let text = format!("[s]\nrequest = \"GET /keys\"\n{ROW}paginate = {{ by = \"url\", at = \"/next\" }}\n");
    let (done, seen) = run(&text, vec![page(&["a"], r#","next":"/keys?after=%2Fa""#), page(&["b"], r#","next":null"#)]).await;
    assert_eq!(ids(done), Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(seen[1], "GET /keys?after=%2Fa HTTP/1.1");
    let (done, _) = run(&text, vec![page(&["a"], r#","next":"http://127.0.0.1:1/keys?after=a""#)]).await;
    assert_eq!(ids(done), Err("unknown cut-short".to_owned()));
}
