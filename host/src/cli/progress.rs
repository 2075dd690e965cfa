//! Progress bars, on standard error.

use indicatif::{ProgressBar, ProgressStyle};

use crate::app::App;
use crate::domain::ids::RunId;
use crate::domain::run::Run;
use crate::store::StoreError;

/// A bar over bytes.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg:16} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}")
}

/// A count of rows whose end is not known.
pub fn rows() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:16} {pos} rows {per_sec}")
        .expect("the template is fixed and valid");
    ProgressBar::new_spinner().with_style(style)
}

fn bar(total: u64, what: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the template is fixed and valid");
    ProgressBar::new(total).with_style(style).with_message(what.to_owned())
}

/// Shows a run's progress until it is over.
pub async fn follow(app: &App, id: RunId) -> Result<Run, StoreError> {
    let bar = bar(0, "scoring", "{msg:16} {bar:30} {pos}/{len} answers {per_sec}");
    if let Some(mut progress) = app.runner.follow(id) {
        loop {
            let now = *progress.borrow_and_update();
            bar.set_length(now.total);
            bar.set_position(now.done);
            // The sender goes with the run.
            if progress.changed().await.is_err() {
                break;
            }
        }
    }
    bar.finish_and_clear();
    app.store.run_get(id).await
}
