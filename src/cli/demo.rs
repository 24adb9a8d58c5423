//! `cutover demo`: the whole story with nothing to set up, in less than a minute.
//!
//! Everything is real but the providers and the applications, which are the doubles of `cutover-fake` on 127.0.0.1, and the time, which
//! runs faster: the engine, the ledger, the file store, the shipped definitions, the `http` hooks, the `consumer` and `last-used`
//! evidence and the webhook. A test of every promise that the story makes is part of it: where one does not hold, the demo fails.

mod app;
mod bondi;
mod clock;
mod config;
mod desk;
mod follow;
mod plana;
mod stage;
mod summary;
#[cfg(test)]
mod tests;
mod voice;
mod words;
mod wrapd;

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use self::stage::Stage;
use self::summary::Summary;
use self::voice::Voice;

/// The story is over within this, or something hangs.
const PATIENCE: Duration = Duration::from_secs(58);

/// Tells the story on standard output; with `json` only what came of it, as JSON, at the end.
///
/// # Errors
/// What went wrong: a promise that did not hold, or what the machine did not allow. Nothing is left behind either way.
pub async fn run(json: bool) -> Result<(), String> {
    let mut voice = if json { Voice::silent() } else { Voice::aloud() };
    let summary = play(&mut voice).await?;
    if json { Voice::aloud().line(&summary.to_json().to_string()) } else { summary.tell(&mut voice) }
}

/// Plays the scenes and takes everything down again, whatever came of them.
async fn play(voice: &mut Voice) -> Result<Summary, String> {
    let failed = |error: std::io::Error| format!("signals cannot be waited for ({error})");
    let mut ended = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut stage = Stage::set().await?;
    let said = |text: &str| Err(Some(text.to_owned()));
    let result = tokio::select! {
        result = scenes(&mut stage, voice) => result.map_err(Some),
        _ = ended.recv() => said("ended by a signal; nothing is left behind"),
        _ = interrupted.recv() => said("interrupted; nothing is left behind"),
        () = tokio::time::sleep(PATIENCE) => Err(None),
    };
    let late = |stage: &Stage| format!("the story did not end within {} seconds: {}", PATIENCE.as_secs(), stage.standing());
    let result = result.map_err(|why| why.unwrap_or_else(|| late(&stage)));
    let struck = stage.strike().await;
    let summary = result?;
    struck.map(|()| summary)
}

async fn scenes(stage: &mut Stage, voice: &mut Voice) -> Result<Summary, String> {
    voice.text("cutover demo: three applications, three providers; nothing of yours is touched.")?;
    voice.text(
        "The providers and the applications are doubles on 127.0.0.1, and the clock runs fast. The engine, the ledger, the store, the \
         hooks, the evidence and the alerts are the real ones, with the definitions that are shipped.",
    )?;
    let mut scenes = vec![plana::play(stage, voice).await?, bondi::play(stage, voice).await?, wrapd::play(stage, voice).await?];
    if let Some(bondi) = scenes.get_mut(1) {
        bondi::epilogue(stage, voice, bondi).await?;
    }
    Ok(Summary { scenes })
}
