//! The shared layouts as aya sees them: plain bytes.

use shaper_common::backlog::Backlog;
use shaper_common::flow::Bucket;
use shaper_common::layout::{
    DirectionRules, Diversion, EdgeCounts, Pace, PortPlace, Probe, Record, Release, Setup, Shared,
};
use shaper_common::outage::Schedule;
use shaper_common::quantile::Quantiles;
use shaper_common::rules::RuleKey;
use shaper_common::timeline::Timeline;
use shaper_common::trace::{PacketHead, PacketPlaces, StepHead, StepPlaces};

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
    SetupPod(Setup),
    BacklogPod(Backlog),
    BucketPod(Bucket),
    QuantilesPod(Quantiles),
    TimelinePod(Timeline),
    StepHeadPod(StepHead),
    StepsPod(StepPlaces),
    PacketHeadPod(PacketHead),
    PacketsPod(PacketPlaces),
    DirectionRulesPod(DirectionRules),
    RuleKeyPod(RuleKey),
    ProbePod(Probe),
    RecordPod(Record),
    ReleasePod(Release),
    SchedulePod(Schedule),
    SharedPod(Shared),
    EdgePod(EdgeCounts),
    DiversionPod(Diversion),
    PacePod(Pace)
);

impl StepsPod {
    /// The same steps.
    pub(super) fn of(places: &StepPlaces) -> &Self {
        // SAFETY: the type is `repr(transparent)` around this one.
        unsafe { &*std::ptr::from_ref(places).cast() }
    }
}

impl PacketsPod {
    /// The same entries.
    pub(super) fn of(places: &PacketPlaces) -> &Self {
        // SAFETY: as above.
        unsafe { &*std::ptr::from_ref(places).cast() }
    }
}

/// Bytes of a probe.
pub(super) const PROBE: usize = size_of::<Probe>();

/// The bytes of a probe.
pub(super) fn bytes(probe: &ProbePod) -> [u8; PROBE] {
    // SAFETY: a probe has no padding, so that all of its bytes are initialised.
    unsafe { core::mem::transmute_copy(probe) }
}

/// The value that bytes begin with; `None` where there are too few.
pub(super) fn value<T: aya::Pod>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough bytes, and any of them are a value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
