//! Which packets of a file stand for a capture point.

use std::path::Path;

use super::{AnalyzeError, Result};
use crate::{
    packet::Layers,
    pcapfile::{Error, Interface, InterfaceStatistics, Packet, Reader},
};

/// Opens a capture to be read up to where it is cut or damaged.
pub(crate) fn open(path: &Path) -> std::result::Result<Reader, Error> {
    Ok(Reader::open(path)?.ending_at_damage())
}

/// Tells of a packet whether it is meant.
pub type Predicate<'a> = dyn Fn(&Packet<'_>, &Layers<'_>) -> bool + 'a;

/// Asks. What is handed on here is a copy, so that packets and layers need be nowhere in memory while nobody asks.
#[inline]
pub(super) fn asked(predicate: &Predicate<'_>, packet: Packet<'_>, layers: &Layers<'_>) -> bool {
    let layers = *layers;
    predicate(&packet, &layers)
}

/// The capture of one point: a file, or those packets of it that were seen there.
#[derive(Clone, Copy)]
pub struct Capture<'a> {
    /// The file.
    pub path: &'a Path,
    /// Packets of this interface alone: its name, or its number in the file, from 0. Several
    /// interfaces may have one name.
    pub interface: Option<&'a str>,
    /// Packets of which this says so alone. Packets of link types that are not known are never
    /// asked about and left out.
    pub point: Option<&'a Predicate<'a>>,
}

impl<'a> Capture<'a> {
    /// All packets of a file.
    #[must_use]
    pub fn whole(path: &'a Path) -> Self {
        Self { path, interface: None, point: None }
    }

    pub(super) fn is_of_one_file(&self, other: &Self) -> bool {
        matches!((self.path.canonicalize(), other.path.canonicalize()), (Ok(one), Ok(other)) if one == other)
    }
}

/// A capture whose interfaces are found.
#[derive(Clone)]
pub(super) struct Chosen<'a> {
    pub(super) path: &'a Path,
    pub(super) named: Option<&'a str>,
    /// By number in the file; `None` for all.
    interfaces: Option<Vec<bool>>,
    pub(super) point: Option<&'a Predicate<'a>>,
}

impl<'a> Chosen<'a> {
    /// Finds the interfaces named. They may be described anywhere in the file, so it is read once.
    pub(super) fn of(capture: &Capture<'a>) -> Result<Self> {
        let Capture { path, interface: named, point } = *capture;
        let Some(wanted) = named else { return Ok(Self { path, named, interfaces: None, point }) };
        let mut reader = open(path)?;
        while reader.next_packet()?.is_some() {}
        let all = reader.interfaces();
        let mut chosen: Vec<bool> = all.iter().map(|interface| interface.name.as_deref() == Some(wanted)).collect();
        if !chosen.contains(&true)
            && let Some(numbered) = wanted.parse().ok().and_then(|number: usize| chosen.get_mut(number))
        {
            *numbered = true;
        }
        if !chosen.contains(&true) {
            let names = all.iter().enumerate();
            let names = names
                .map(|(at, interface)| format!("{at} {}", interface.name.as_deref().unwrap_or("-").escape_debug()));
            return Err(AnalyzeError::NoInterface {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
                names: names.take(32).collect::<Vec<_>>().join(", "),
            });
        }
        Ok(Self { path, named, interfaces: Some(chosen), point })
    }

    /// The number in the file of the interface that was named, the first one if there are several.
    pub(super) fn number(&self) -> Option<usize> {
        self.interfaces.as_ref()?.iter().position(|&chosen| chosen)
    }

    /// Whether both are the same interfaces, of one file: names and numbers may mean one.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let all = |chosen: &Option<Vec<bool>>| chosen.as_ref().is_none_or(|chosen| !chosen.contains(&false));
        self.interfaces == other.interfaces || all(&self.interfaces) && all(&other.interfaces)
    }

    /// Opens the file.
    pub(super) fn open(&self) -> std::result::Result<Reader, Error> {
        open(self.path)
    }

    /// Whether packets of that interface are of this point.
    #[inline]
    pub(super) fn has(&self, interface: u32) -> bool {
        let Some(chosen) = &self.interfaces else { return true };
        chosen.get(interface as usize).copied().unwrap_or(false)
    }

    /// Whether a packet of such an interface is.
    #[inline]
    pub(super) fn takes(&self, packet: &Packet<'_>, layers: Option<&Layers<'_>>) -> bool {
        self.point.is_none_or(|point| layers.is_some_and(|layers| asked(point, *packet, layers)))
    }

    /// The interfaces of this point.
    pub(super) fn interfaces_of<'r>(&'r self, reader: &'r Reader) -> impl Iterator<Item = &'r Interface> {
        (0..).zip(reader.interfaces()).filter(|(at, _)| self.has(*at)).map(|(_, interface)| interface)
    }

    /// What their statistics tell.
    pub(super) fn statistics<'r>(&'r self, reader: &'r Reader) -> impl Iterator<Item = InterfaceStatistics> {
        self.interfaces_of(reader).filter_map(|interface| interface.statistics)
    }
}
