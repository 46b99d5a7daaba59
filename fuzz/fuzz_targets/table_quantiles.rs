//! The program of the target `shaper_fuzz::tables::quantiles_of`.
#![cfg_attr(fuzzing, no_main)]

shaper_fuzz::target!(shaper_fuzz::tables::quantiles_of);
