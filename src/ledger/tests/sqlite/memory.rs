//! What stays of a secret value in the memory of the process: nothing.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;

use cutover_api::Secret;
use cutover_ledger::{Commit, Ledger, SealWrite};

use super::crash::{child_dir, open_child, run, tell};
use super::home::Home;

/// The needle of the memory search, masked so that the search does not find itself.
const MASKED: &[u8] = b"gnn``k8>=b0;e`4c94:;f7ce1cb:0`4b";
const MASK: u8 = 0x5a;

/// Bytes that are read at a time.
const WINDOW: usize = 1 << 16;

/// At how many addresses of this process's writable memory the needle stands.
fn copies_in_memory() -> usize {
    let mut buffer = vec![0; WINDOW];
    // A map that changed while it was read could hide a copy: then all is looked at again.
    (0..100).find_map(|_| search(&mut buffer)).unwrap().len()
}

/// One search; `None` when a part of the memory could not be read. It leaves out `buffer`, which may lie in a map that is read: a
/// search that reads what it has just copied finds copies of its own making. Addresses, not hits: a map that grows while the list of
/// maps is read can stand in it twice.
fn search(buffer: &mut [u8]) -> Option<BTreeSet<u64>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let own = buffer.as_ptr() as u64..buffer.as_ptr() as u64 + buffer.len() as u64;
    let mut copies = BTreeSet::new();
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (from, to) = map.split_once(' ').and_then(|(range, _)| range.split_once('-')).unwrap();
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        for (mut from, to) in [(from, to.min(own.start)), (from.max(own.end), to)] {
            while from + (MASKED.len() as u64) <= to {
                let part = &mut buffer[..WINDOW.min((to - from) as usize)];
                memory.read_exact_at(part, from).ok()?;
                part.iter_mut().for_each(|byte| *byte ^= MASK);
                let hits = part.windows(MASKED.len()).enumerate().filter(|(_, window)| *window == MASKED);
                copies.extend(hits.map(|(at, _)| from + at as u64));
                // The next part begins where a needle that this one cuts would begin.
                from += (part.len() - MASKED.len() + 1) as u64;
                part.fill(0);
            }
        }
    }
    Some(copies)
}

/// Seals a value and looks for it in its own memory. Only as a child, for a memory of its own.
#[test]
fn child_that_searches_its_memory() {
    let Some(dir) = child_dir() else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let ledger = open_child(&dir).await;
        let mut value = String::with_capacity(MASKED.len());
        value.extend(MASKED.iter().map(|byte| char::from(byte ^ MASK)));
        let value = Secret::new(value);
        assert_eq!(copies_in_memory(), 1, "the search must find what is there");
        let seal = vec![SealWrite { rotation: "r".to_owned(), slot: "new".to_owned(), value }];
        ledger.commit(Commit { seal, ..Commit::default() }).await.unwrap();
        assert_eq!(copies_in_memory(), 0, "after sealing");
        let value = ledger.unseal("r", "new").await.unwrap().unwrap();
        assert_eq!(value.expose().len(), MASKED.len());
        assert_eq!(copies_in_memory(), 1, "opened");
        drop(value);
        assert_eq!(copies_in_memory(), 0, "after use");
        ledger.close().await.unwrap();
        tell("done:memory");
    });
}

#[test]
fn a_sealed_value_is_no_longer_in_memory() {
    if child_dir().is_some() {
        return;
    }
    let told = run(&Home::new(), "sqlite::memory::child_that_searches_its_memory", &["env"]);
    assert!(told.contains("done:memory"), "{told}");
}
