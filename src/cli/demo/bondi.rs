//! Scene 2: the reply of the one call that makes a key is lost, at a provider where nothing can be looked up.

use cutover_api::{Clock, Span};
use cutover_fake::{CallKind, Fault, How};
use cutover_machine::event::Order;

use super::clock::{CALM, RUSH};
use super::follow::Thread;
use super::stage::Stage;
use super::summary::Scene;
use super::voice::Voice;

const POLICY: &str = "crm";

/// Plays it.
///
/// # Errors
/// What did not go as it must.
pub(super) async fn play(stage: &mut Stage, voice: &mut Voice) -> Result<Scene, String> {
    voice.scene(
        "2. Bondi: the reply is lost",
        "The CRM signs every event it sends to Bondi. A rotation gives a new token, shown once, and ends the old one after 24 hours; \
         there is no list and no way to read a token again, and a second rotation ends the token in use at once. The network drops \
         the reply of the first.",
    )?;
    stage.clock.run_at(CALM);
    let app = stage.app(POLICY)?;
    app.start().await.map_err(|error| format!("the application did not start ({error})"))?;
    app.some_calls().await;
    let old = app.fingerprints().await;
    stage.bondi.fail(Fault::once(CallKind::Mint, How::LoseReply));
    let mut thread = Thread::start(stage, POLICY).await?;
    thread.until_mailed(stage, voice, "held", Some("--mint-again")).await?;
    app.some_calls().await;
    let held = app.tally().await;
    if stage.bondi.mints() != 1 || held.refused > 0 || app.fingerprints().await != old {
        return Err("scene Bondi: something was done in doubt".to_owned());
    }
    voice.at(
        stage.clock.now(),
        &format!(
            "The CRM still works with the old token: {} calls, {} refused. One rotation was asked for, and no other.",
            held.calls, held.refused
        ),
    )?;
    way_out(stage, voice, &mut thread).await?;
    let scene = Scene::end("Bondi", thread, &app).await?;
    if stage.bondi.mints() != 2 || scene.thread.held != ["doubt"] || scene.paused == Span::ZERO {
        return Err("scene Bondi: it was not held with a doubt once, or another key was asked for without an order".to_owned());
    }
    voice.at(
        stage.clock.now(),
        &format!(
            "{} calls, {} refused; for {} the events waited in the CRM's queue, because a person said so.",
            scene.tally.calls, scene.tally.refused, scene.paused
        ),
    )?;
    Ok(scene)
}

/// The person's part: the token in use can only be lost, so the calls are stopped before it is.
async fn way_out(stage: &mut Stage, voice: &mut Voice, thread: &mut Thread) -> Result<(), String> {
    voice.more(
        "There is no free way out. Left alone, the old token ends after its 24 hours with nothing to take its place. Another rotation \
         ends it at once, and the CRM is refused until it has the new one. So the person chooses the moment, holds the CRM's events \
         back in their queue, and lets cutover mint again; the restart lets them flow.",
    )?;
    let app = stage.app(POLICY)?;
    app.pause().await;
    voice.at(stage.clock.now(), "The CRM's events wait in their queue.")?;
    thread.order(stage, voice, Order::MintAgain, &format!("resume {POLICY} --mint-again"), "events are queued").await?;
    thread.until(stage, voice, "deployed").await?;
    voice.more("The CRM's events flow again, signed with the new token.")?;
    thread.until(stage, voice, "settled").await?;
    voice.more(
        "What is left is the old token's end, and Bondi's clock does that. cutover waits for it and keeps the rotation open until then.",
    )
}

/// A day later: the provider's clock has ended the old token.
///
/// # Errors
/// The rotation did not close.
pub(super) async fn epilogue(stage: &mut Stage, voice: &mut Voice, scene: &mut Scene) -> Result<(), String> {
    voice.scene("The day after", "Bondi's old token ends by Bondi's clock. Nothing is left open.")?;
    scene.thread.lapse(stage, voice, RUSH, "closed", None).await
}
