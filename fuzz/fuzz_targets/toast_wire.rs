//! The program of the target `shaper_fuzz::toast::wire`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::toast::wire);
