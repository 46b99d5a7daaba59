//! Runs that are made up, whose losses and delays are known, and what is found of them.

mod captures;
mod columns;
mod fooled;
mod hostile;
mod latency;
mod stops;
mod world;
