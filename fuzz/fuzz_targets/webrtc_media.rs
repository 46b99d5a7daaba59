//! The program of the target `shaper_fuzz::webrtc::media`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::webrtc::media);
