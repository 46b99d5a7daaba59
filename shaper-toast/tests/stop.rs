//! SIGTERM ends a role in order instead of ending the process. A program of its own, because the
//! handler is the process's.

use nix::sys::signal::{Signal, raise};
use shaper_toast::StopFlag;

#[test]
fn sigterm_raises_the_flag_and_its_clones() {
    let flag = StopFlag::on_signals().unwrap();
    let clone = flag.clone();
    let deaf = StopFlag::new();
    assert!(!clone.is_stopped());
    raise(Signal::SIGTERM).unwrap();
    assert!(flag.is_stopped() && clone.is_stopped());
    assert!(!deaf.is_stopped());
}
