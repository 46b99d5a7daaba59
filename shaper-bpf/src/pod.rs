//! The shared layouts as aya sees them: plain bytes.

use shaper_common::layout::{EdgeCounts, Pace, Params, PortPlace, Shared};
use shaper_common::outage::Schedule;

macro_rules! plain {
    ($($name:ident($layout:ty)),+ $(,)?) => {
        $(
            #[repr(transparent)]
            #[derive(Clone, Copy)]
            pub(super) struct $name(pub(super) $layout);

            // SAFETY: the layout is `repr(C)` of integers without implicit padding, and any bit
            // pattern is a value of it.
            unsafe impl aya::Pod for $name {}
        )+
    };
}

plain!(
    PortPod(PortPlace),
    ParamsPod(Params),
    SchedulePod(Schedule),
    SharedPod(Shared),
    EdgePod(EdgeCounts),
    PacePod(Pace)
);
