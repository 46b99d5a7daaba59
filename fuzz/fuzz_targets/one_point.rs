//! The program of the target `shaper_fuzz::one_point::capture`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::one_point::capture);
