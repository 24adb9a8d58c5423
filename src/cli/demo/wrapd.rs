//! Scene 3: the deployment fails while the old key's time runs out, and a person is told at half of it.

use cutover_api::Clock;
use cutover_machine::event::Order;

use super::clock::{LIVE, RUSH};
use super::follow::Thread;
use super::stage::Stage;
use super::summary::Scene;
use super::voice::Voice;

const POLICY: &str = "builds";

/// Plays it.
///
/// # Errors
/// What did not go as it must.
pub(super) async fn play(stage: &mut Stage, voice: &mut Voice) -> Result<Scene, String> {
    voice.scene(
        "3. Wrapd: the clock runs",
        "The build server calls Wrapd. A rotation there starts the old key's last 24 hours, whatever happens. Today deployments are \
         frozen: the deployer refuses to restart anything.",
    )?;
    stage.clock.run_at(LIVE);
    let app = stage.app(POLICY)?;
    app.start().await.map_err(|error| format!("the application did not start ({error})"))?;
    app.freeze(true).await;
    let mut thread = Thread::start(stage, POLICY).await?;
    thread.until_mailed(stage, voice, "held", Some("held")).await?;
    voice.more("Nobody reads it. The build server works on with the old key, which stands until tomorrow. (Time flies.)")?;
    thread.lapse(stage, voice, RUSH, "grace-ending", Some("grace-ending")).await?;
    app.freeze(false).await;
    voice.at(stage.clock.now(), "That one is read: the freeze is lifted.")?;
    thread.order(stage, voice, Order::Resume, &format!("resume {POLICY}"), "the freeze is lifted").await?;
    thread.until(stage, voice, "cutover").await?;
    thread.lapse(stage, voice, RUSH, "closed", None).await?;
    let scene = Scene::end("Wrapd", thread, &app).await?;
    let alive = stage.wrapd.keys().iter().filter(|key| key.alive).count();
    if scene.thread.ended.as_deref() != Some("done") || stage.wrapd.mints() != 1 || alive != 1 {
        return Err("scene Wrapd: the rotation did not end with one new key alive and the old one dead".to_owned());
    }
    voice.at(stage.clock.now(), &format!("{} calls, {} refused.", scene.tally.calls, scene.tally.refused))?;
    Ok(scene)
}
