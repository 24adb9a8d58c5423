//! What a ledger's file shows to who has not got its keys: for looking ahead, and nothing else.

use std::path::Path;

use sqlx::Connection as _;

use super::fault::Fault;
use super::files::Place;
use super::meta::Found;
use super::open::{connect, leaving_no_trace};
use super::read::policy;
use super::rows::{self, PAGE};
use super::table::{POLICY, STATE};
use super::verify::{Refusal, is_ledger};
use crate::{OpenError, OpenErrorKind, PolicyWrite};

/// See [`super::SqliteLedger::glance`].
pub(super) async fn glance(path: &Path, environment: &str) -> Result<Vec<PolicyWrite>, OpenError> {
    let place = Place::find(path)?;
    let refused = |Refusal(kind, detail)| place.refuse(kind, detail);
    let mut conn = connect(&leaving_no_trace(&place)).await.map_err(refused)?;
    let read = async {
        is_ledger(&mut conn).await?;
        let found = Found::read(&mut conn).await?;
        if found.environment() != environment.as_bytes() {
            let detail = format!("it bears another name than \"{environment}\"");
            return Err(Refusal(OpenErrorKind::OtherEnvironment, detail));
        }
        let mut all = Vec::new();
        let mut page = rows::page(&mut conn, &STATE[POLICY], None, PAGE).await?;
        while !page.is_empty() {
            let next = rows::page(&mut conn, &STATE[POLICY], page.last(), PAGE).await?;
            all.extend(page.into_iter().map(policy));
            page = next;
        }
        Ok(all)
    };
    let read = read.await;
    let closed = conn.close().await.map_err(|error| refused(Fault::from(error).into()));
    let rows = read.map_err(refused)?;
    closed?;
    Ok(rows)
}
