#![no_std]
//! The decision.
