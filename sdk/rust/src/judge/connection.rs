//! Who answers: the host where the attribute connected it, a test's function
//! natively, else nobody.
//!
//! The import is reached through a pointer that only a judging plugin's
//! exports set, so that a component that does not judge does not import it.

use std::cell::RefCell;

use super::{Answer, Request};
use crate::PluginError;

type Judge = Box<dyn FnMut(&[Request]) -> Vec<Answer>>;

thread_local! {
    static JUDGE: RefCell<Option<Judge>> = const { RefCell::new(None) };
}

/// Asks for all requests at once; one answer for each, in their order.
///
/// An error of one request leaves the others alone. Without a judge every
/// request is `host-denied`.
pub fn complete(requests: &[Request]) -> Vec<Answer> {
    if requests.is_empty() {
        return Vec::new();
    }
    // Taken out while it answers: a judge that asks a judge has none.
    let Some(mut judge) = JUDGE.take() else {
        let reason = "no judge is connected: the plugin's attribute does not say `judging`, or a test has no \
                      `judge::answered_by`";
        return requests.iter().map(|_| Err(PluginError::HostDenied(reason.into()))).collect();
    };
    let mut answers = judge(requests);
    JUDGE.set(Some(judge));
    let (asked, answered) = (requests.len(), answers.len());
    if asked != answered {
        let reason = format!("{asked} requests had {answered} answers");
        answers = requests.iter().map(|_| Err(PluginError::HostUnavailable(reason.clone()))).collect();
    }
    answers
}

/// Runs `body` with a judge that is a function, on this thread: for tests.
///
/// ```
/// use assay_plugin::judge::{self, Reply, Request};
///
/// let yes = |requests: &[Request]| requests.iter().map(|_| Ok(Reply::new("yes", "t1"))).collect();
/// let answers = judge::answered_by(yes, || judge::complete(&[Request::new("strict", [])]));
/// assert_eq!(answers[0].as_ref().expect("answered").text, "yes");
/// ```
pub fn answered_by<T>(judge: impl FnMut(&[Request]) -> Vec<Answer> + 'static, body: impl FnOnce() -> T) -> T {
    let _restored = Restored(JUDGE.replace(Some(Box::new(judge))));
    body()
}

/// Puts the judge from before back, also when the body panics.
struct Restored(Option<Judge>);

impl Drop for Restored {
    fn drop(&mut self) {
        JUDGE.set(self.0.take());
    }
}

/// Connects the import. What a judging plugin's exports call first.
#[doc(hidden)]
pub fn connected(import: fn(&[Request]) -> Vec<Answer>) {
    JUDGE.set(Some(Box::new(import)));
}
