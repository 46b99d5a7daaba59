//! The two capture points, and the paths between them.

use super::{clock::Ways, flow::FlowKey, hash::HashedMap};

/// Pairs of addresses whose direction is followed.
const PATHS: usize = 1 << 18;
/// Packets more that tell one direction than the other, from which on it is beyond doubt.
const SURE: i64 = 16;

/// Which point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    A,
    B,
}

impl Point {
    pub(super) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// What is of this point and what is of the other one, the first point's first.
    #[inline]
    pub(super) fn in_order<T>(self, own: T, other: T) -> [T; 2] {
        match self {
            Self::A => [own, other],
            Self::B => [other, own],
        }
    }
}

/// Two of something, one for each point; for figures the point is the sending one.
#[derive(Debug)]
pub(super) struct Both<T> {
    pub(super) a: T,
    pub(super) b: T,
}

impl<T> Both<T> {
    #[inline]
    pub(super) fn at(&mut self, point: Point) -> &mut T {
        match point {
            Point::A => &mut self.a,
            Point::B => &mut self.b,
        }
    }

    #[inline]
    pub(super) fn get(&self, point: Point) -> &T {
        match point {
            Point::A => &self.a,
            Point::B => &self.b,
        }
    }
}

/// Addresses that share a path, and which way their packets were seen to go.
#[derive(Clone, Copy, Debug)]
struct Path {
    back: u64,
    /// Packets first seen at the first point, less those first seen at the second.
    votes: i64,
    /// The point that packets pass first by what they carry themselves.
    mark: Option<Point>,
}

#[derive(Debug, Default)]
pub(super) struct Paths {
    list: Vec<Path>,
    index: HashedMap<u32>,
    /// What is known beforehand; then stamps tell nothing.
    told: Option<Ways>,
    /// What packets tell where stamps do not.
    marked: Ways,
    /// Whether one clock stamped both captures, so that no estimate of it can be wrong.
    one_clock: bool,
}

impl Paths {
    pub(super) fn new(told: Option<Ways>, marked: Ways, one_clock: bool) -> Self {
        Self { told, marked, one_clock, ..Self::default() }
    }

    /// Whether directions are known beforehand, so that they never change.
    #[inline]
    pub(super) fn are_told(&self) -> bool {
        self.told.is_some()
    }

    /// The point that a pair's packet passed first: `first` by its stamps, where those tell.
    #[inline]
    pub(super) fn sender(&self, paths: [u32; 2], first: Option<Point>) -> Option<Point> {
        let [one, other] = paths;
        self.way(one).or_else(|| self.way(other)).or(first.filter(|_| self.told.is_none()))
    }

    /// The path of a flow; beyond those that are followed, one that goes no way.
    pub(super) fn of(&mut self, key: &FlowKey) -> u32 {
        let hash = key.path();
        if let Some(&index) = self.index.get(&hash) {
            return index;
        }
        if self.list.len() >= PATHS {
            return u32::MAX;
        }
        let index = self.list.len() as u32;
        let back = key.path_back();
        let way = |ways: &Ways| ways.get(&hash).copied().or(ways.get(&back).map(|way| way.other()));
        let told = self.told.as_ref().and_then(way);
        let votes = told.map_or(0, |way| if way == Point::A { 1 } else { -1 });
        self.list.push(Path { back, votes, mark: way(&self.marked) });
        self.index.insert(hash, index);
        index
    }

    #[inline]
    pub(super) fn vote(&mut self, path: u32, vote: i64) {
        if self.told.is_none()
            && let Some(path) = self.list.get_mut(path as usize)
        {
            path.votes += vote;
        }
    }

    /// Whether many stamps of one clock told, and few denied, that a path's packets pass this point first.
    #[inline]
    pub(super) fn is_sure_of(&self, path: u32, first: Point) -> bool {
        let votes = self.list.get(path as usize).map_or(0, |path| path.votes);
        self.one_clock && if first == Point::A { votes >= SURE } else { votes <= -SURE }
    }

    /// The point that a path's packets pass first; `None` while nothing tells.
    #[inline]
    pub(super) fn way(&self, path: u32) -> Option<Point> {
        let path = self.list.get(path as usize)?;
        let votes = if path.votes == 0 {
            let back = self.index.get(&path.back).and_then(|back| self.list.get(*back as usize));
            back.map_or(0, |back| -back.votes)
        } else {
            path.votes
        };
        match votes {
            0 => path.mark,
            votes if votes > 0 => Some(Point::A),
            _ => Some(Point::B),
        }
    }
}
