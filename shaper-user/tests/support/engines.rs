//! The engines that there are.

#![expect(clippy::unwrap_used, reason = "tests panic with their context")]

use shaper_net::rtnl::{FqSettings, Rtnl, VethEnd};

/// The engines of this kernel. A guest that is there to have `fq` must have it.
pub(crate) fn engines() -> &'static [&'static str] {
    let rtnl = Rtnl::open().unwrap();
    rtnl.create_veth(&VethEnd::new(None, "try0"), &VethEnd::new(None, "try1")).unwrap();
    let index = rtnl.link("try0").unwrap().index;
    let settings = FqSettings { limit: 100, buckets_log: 10, orphan_mask: 1023, timer_slack: 1_000, horizon: u32::MAX };
    let set = rtnl.set_fq(index, &settings);
    rtnl.delete(index).unwrap();
    match set {
        Err(shaper_net::Error::Missing { .. }) if std::env::var_os("SHAPER_TEST_FQ").is_none() => {
            println!("this kernel has no fq: engine edt is tried on those of the guests");
            &["xsk"]
        }
        set => {
            set.unwrap();
            &["xsk", "edt"]
        }
    }
}
