//! The program of the target `shaper_fuzz::one_point::datagrams`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::one_point::datagrams);
