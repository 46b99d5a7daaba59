//! The program of the target `shaper_fuzz::two_points::compare`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::two_points::compare);
