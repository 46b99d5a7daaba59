//! The program of the target `shaper_fuzz::webrtc::logs`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::webrtc::logs);
