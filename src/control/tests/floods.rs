//! Clients that flood, stall, break off or are somebody else; meanwhile another one is served.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::{Daemon, Double, PATIENCE, rotate};
use crate::control::people::People;
use crate::control::wire::{Line, encode_ask};
use crate::control::{Ask, Client, Handler, Reached, Server};

/// Thousands of connections that never ask, a hundred at any moment: whoever asks is answered all the same.
#[tokio::test]
async fn a_flood_of_silent_connections_keeps_nobody_from_being_answered() {
    let daemon = Daemon::start().await;
    let path = daemon.path.clone();
    let done = CancellationToken::new();
    let until = done.clone();
    let flood = tokio::spawn(async move {
        let mut open = VecDeque::new();
        let mut count = 0_usize;
        while !until.is_cancelled() || count < 3_000 {
            if let Ok(mut stream) = UnixStream::connect(&path).await {
                let _cut = stream.write_all(b"{\"v\":1,").await;
                open.push_back(stream);
                count += 1;
            }
            if open.len() > 100 {
                open.pop_front();
            }
            tokio::task::yield_now().await;
        }
        count
    });
    let client = daemon.client().await;
    for _ in 0..50 {
        let done = tokio::time::timeout(PATIENCE, client.ask(&Ask::Hello {}, PATIENCE, &mut |_| {})).await;
        assert!(done.expect("in time").is_ok());
    }
    done.cancel();
    assert!(flood.await.expect("ended") >= 3_000);
    daemon.serves().await;
    daemon.stop().await;
}

/// A client that is killed at any byte of its request or of the reply.
#[tokio::test]
async fn a_client_that_is_killed_at_any_byte_costs_its_own_connection() {
    let daemon = Daemon::start().await;
    let request = encode_ask(&Ask::Status { selector: cutover_config::Selector::default() }).unwrap();
    for cut in 0..=request.len() {
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(&request[..cut]).await.unwrap();
    }
    for taken in [1, 7, 100, 1_000, 4_000] {
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(&request).await.unwrap();
        let mut reply = vec![0; taken];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut reply)).await.unwrap().unwrap();
    }
    daemon.serves().await;
    daemon.stop().await;
}

/// A byte a second: the request's deadline is for all of it.
#[tokio::test(start_paused = true)]
async fn a_byte_a_second_is_cut_off_after_ten() {
    let daemon = Daemon::start().await;
    let stream = UnixStream::connect(&daemon.path).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        for byte in encode_ask(&rotate()).unwrap() {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            // So slow is this client.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut reply = Vec::new();
    let _cut = read.read_to_end(&mut reply).await;
    assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.reason.contains("within 10 s")));
    assert_eq!(daemon.double.ended.load(std::sync::atomic::Ordering::SeqCst), 0, "nothing was begun");
    dripping.abort();
    daemon.stop().await;
}

/// A client that says all it has to say, closes its end and listens is answered.
#[tokio::test]
async fn a_client_that_closes_its_end_is_answered() {
    let daemon = Daemon::start().await;
    let reply = daemon.raw(&encode_ask(&Ask::Hello {}).unwrap()).await;
    assert!(matches!(Line::decode(&reply), Ok(Line::Done(_))), "{}", String::from_utf8_lossy(&reply));
    daemon.stop().await;
}

/// More requests than are answered at once: they wait or are told, and each is done once or not at all.
#[tokio::test]
async fn requests_beyond_the_places_are_told_and_the_rest_is_done_once() {
    let daemon = Daemon::start().await;
    let mut open = Vec::new();
    for _ in 0..super::super::places::ANSWERED {
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(&encode_ask(&rotate()).unwrap()).await.unwrap();
        daemon.double.begun.notified().await;
        open.push(stream);
    }
    let reply = daemon.raw(&encode_ask(&rotate()).unwrap()).await;
    assert!(matches!(Line::decode(&reply), Ok(Line::Refused(refused)) if refused.is_busy()), "told, after a short wait");
    // A client that is told so asks again by itself, and is served when there is room.
    let path = daemon.path.clone();
    let asking = tokio::spawn(async move { Client::reach(&path).await });
    drop(open);
    for _ in 0..super::super::places::ANSWERED {
        daemon.double.go.notify_one();
        daemon.double.end.notified().await;
    }
    assert!(matches!(tokio::time::timeout(PATIENCE, asking).await.unwrap().unwrap(), Ok(Reached::Daemon(..))));
    assert_eq!(daemon.double.ended.load(std::sync::atomic::Ordering::SeqCst), super::super::places::ANSWERED);
    daemon.stop().await;
}

#[tokio::test]
async fn a_link_in_the_sockets_place_is_left_alone_with_what_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let (path, target) = (directory.path().join("s"), directory.path().join("precious"));
    std::fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let refused = Server::bind(&path).await.err().unwrap();
    assert!(refused.to_string().contains("no socket stands there"), "{refused}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    assert!(std::fs::symlink_metadata(&path).unwrap().file_type().is_symlink());
}

/// Where the tests run as root: the group's members may act, nobody else may, and the socket is theirs and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn the_group_may_act_and_others_may_not() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    const GROUP: u32 = 54_321;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let group = directory.path().join("group");
    std::fs::write(&group, format!("root:x:0:\ncutover:x:{GROUP}:\n")).unwrap();
    let people = People::from_files(std::path::Path::new("/etc/passwd"), &group);
    let path = directory.path().join("s");
    let server = Server::bind_for(&path, &people).await.unwrap();
    let found = std::fs::metadata(&path).unwrap();
    assert_eq!((found.gid(), found.mode() & 0o777), (GROUP, 0o660));
    let closing = CancellationToken::new();
    let handler: std::sync::Arc<dyn Handler> = std::sync::Arc::new(Double::default());
    let serving = tokio::spawn(server.serve(handler, closing.clone()));
    assert!(hello_as(&path, 65_534, GROUP).await.contains("uid:65534"), "a member");
    assert!(hello_as(&path, 65_534, 65_534).await.contains("PermissionDenied"), "the kernel turns others away");
    // Were the socket open to all, the daemon would refuse them itself.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refused = hello_as(&path, 65_534, 65_534).await;
    assert!(refused.contains("may not act here") && refused.contains("guard"), "{refused}");
    closing.cancel();
    tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
}

/// What a process of this user and group is answered: this test binary, run again for the test below.
async fn hello_as(path: &std::path::Path, uid: u32, gid: u32) -> String {
    // A copy that others may run, wherever the build is kept.
    let copy = path.with_file_name("as-another-user");
    if !copy.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    }
    let mut command = std::process::Command::new(copy);
    command
        .args(["--exact", "control::tests::floods::asks_as_another_user", "--nocapture"])
        .env("CUTOVER_TEST_SOCKET", path)
        .current_dir("/")
        .uid(uid)
        .gid(gid);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Run by `the_group_may_act_and_others_may_not` as another user; by itself it asks nobody.
#[test]
fn asks_as_another_user() {
    let Some(path) = std::env::var_os("CUTOVER_TEST_SOCKET") else { return };
    let mut stream = match std::os::unix::net::UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) => {
            println!("{:?}", error.kind());
            return;
        }
    };
    let _cut = stream.write_all(&encode_ask(&Ask::Hello {}).unwrap());
    let mut reply = String::new();
    let _cut = stream.read_to_string(&mut reply);
    println!("{reply}");
}
