//! The colours of the plots, and the same in the dark.
//!
//! Plots name their light colours in attributes; the style sheet gives each its dark twin. Okabe and Ito,
//! "Color Universal Design", 2008, so that no figure rests on red against green.

use plotters::style::RGBColor;

/// A colour with its dark twin and the class of its swatch in a legend.
pub(super) struct Ink {
    pub(super) light: RGBColor,
    dark: RGBColor,
    pub(super) class: &'static str,
}

/// What was measured, and packets that came through.
pub(super) const MEASURED: Ink =
    Ink { light: RGBColor(0x00, 0x6a, 0xa8), dark: RGBColor(0x5a, 0xb6, 0xea), class: "measured" };
/// What was configured, and the host's own figures.
pub(super) const CONFIGURED: Ink =
    Ink { light: RGBColor(0xc2, 0x55, 0x00), dark: RGBColor(0xf0, 0xa0, 0x30), class: "configured" };
/// Lost by the loss model.
pub(super) const LOSS: Ink = Ink { light: RGBColor(0xc8, 0x28, 0x3c), dark: RGBColor(0xff, 0x7a, 0x85), class: "loss" };
/// The link was down, or went down before the packet was through.
pub(super) const OUTAGE: Ink =
    Ink { light: RGBColor(0x8a, 0x8f, 0x98), dark: RGBColor(0x90, 0x96, 0xa2), class: "outage" };
/// Dropped by the queue, by its management or by a policer.
pub(super) const QUEUE: Ink =
    Ink { light: RGBColor(0xa8, 0x4f, 0x90), dark: RGBColor(0xe0, 0x9a, 0xcb), class: "queue" };
/// Lost by the harness, which is never the link's doing.
pub(super) const HARNESS: Ink =
    Ink { light: RGBColor(0x9a, 0x7b, 0x00), dark: RGBColor(0xf0, 0xe4, 0x42), class: "harness" };
/// A copy of a packet.
pub(super) const COPY: Ink = Ink { light: RGBColor(0x2f, 0xb5, 0xd8), dark: RGBColor(0x9b, 0xe3, 0xf5), class: "copy" };
/// A packet whose bytes were changed.
pub(super) const CHANGED: Ink =
    Ink { light: RGBColor(0x30, 0x30, 0x30), dark: RGBColor(0xff, 0xff, 0xff), class: "changed" };
/// A packet marked Congestion Experienced.
pub(super) const MARKED: Ink =
    Ink { light: RGBColor(0x00, 0x9e, 0x73), dark: RGBColor(0x3f, 0xd0, 0xa5), class: "marked" };
/// Text and axes.
pub(super) const TEXT: Ink = Ink { light: RGBColor(0x1c, 0x22, 0x2b), dark: RGBColor(0xe4, 0xe8, 0xee), class: "text" };
/// Lines behind the figures.
pub(super) const GRID: Ink = Ink { light: RGBColor(0xdb, 0xdf, 0xe5), dark: RGBColor(0x3a, 0x42, 0x4e), class: "grid" };

const ALL: [&Ink; 11] =
    [&MEASURED, &CONFIGURED, &LOSS, &OUTAGE, &QUEUE, &HARNESS, &COPY, &CHANGED, &MARKED, &TEXT, &GRID];

pub(super) fn hex(color: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", color.0, color.1, color.2)
}

/// The rules that colour the swatches, and the plots in the dark.
pub(super) fn rules() -> String {
    let mut light = String::new();
    let mut dark = String::new();
    for ink in ALL {
        let (day, night) = (hex(ink.light), hex(ink.dark));
        light.push_str(&format!(".swatch.{}{{background:{day}}}\n", ink.class));
        dark.push_str(&format!(
            "svg [fill=\"{day}\"]{{fill:{night}}} svg [stroke=\"{day}\"]{{stroke:{night}}} \
             .swatch.{}{{background:{night}}}\n",
            ink.class
        ));
    }
    format!("{light}@media screen and (prefers-color-scheme: dark) {{\n{dark}}}\n")
}

/// The colour of a cause of a drop.
pub(super) fn of_cause(cause: &str) -> &'static Ink {
    match cause {
        "loss" => &LOSS,
        "outage" | "in_flight" => &OUTAGE,
        "queue" | "aqm" | "policer" => &QUEUE,
        _ => &HARNESS,
    }
}
