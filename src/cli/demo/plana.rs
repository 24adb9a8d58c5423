//! Scene 1: an ordinary rotation, under a consumer that never stops calling.

use cutover_api::Clock;

use super::clock::LAPSE;
use super::follow::Thread;
use super::stage::Stage;
use super::summary::Scene;
use super::voice::Voice;

const POLICY: &str = "reports";

/// Plays it.
///
/// # Errors
/// What did not go as it must.
pub(super) async fn play(stage: &mut Stage, voice: &mut Voice) -> Result<Scene, String> {
    voice.scene(
        "1. PLANA: an ordinary rotation",
        "The report generator calls PLANA without a pause. It reads PLANA_KEY_NEW and PLANA_KEY from reports.env when it starts. \
         PLANA's keys live side by side until one is revoked, and a list tells when each was used last.",
    )?;
    let app = stage.app(POLICY)?;
    app.start().await.map_err(|error| format!("the application did not start ({error})"))?;
    app.some_calls().await;
    let old = app.fingerprints().await;
    let mut thread = Thread::start(stage, POLICY).await?;
    thread.until(stage, voice, "deployed").await?;
    voice
        .more("Now it must be seen that the new key is used, and that nobody used the old one for six hours. (Time flies.)")?;
    thread.lapse(stage, voice, LAPSE, "cutover", None).await?;
    thread.until(stage, voice, "deployed").await?;
    voice.more("The same again, now that the old key stands nowhere any more.")?;
    thread.lapse(stage, voice, LAPSE, "settled", None).await?;
    thread.until(stage, voice, "closed").await?;
    let keys = stage.plana.keys();
    for key in &keys {
        let state = if key.alive { "alive" } else { "dead" };
        voice.more(&format!("PLANA lists \"{}\", {}…: {state}, used {} times", key.name, key.prefix, key.used))?;
    }
    let scene = Scene::end("PLANA", thread, &app).await?;
    let alive: Vec<_> = keys.iter().filter(|key| key.alive).collect();
    let right = scene.thread.ended.as_deref() == Some("done") && scene.thread.held.is_empty() && stage.plana.mints() == 1;
    if !right || alive.len() != 1 || old.contains(&alive[0].fingerprint.0) {
        return Err("scene PLANA: the rotation did not end with one new key alive and the old one dead".to_owned());
    }
    voice.at(stage.clock.now(), &format!("{} calls, {} refused.", scene.tally.calls, scene.tally.refused))?;
    Ok(scene)
}
