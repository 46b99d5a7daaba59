//! What a file describes without end is kept up to a bound.

use std::io::{Cursor, Read};

use shaper_offline::pcapfile::{Error, Fault, Reader};

use super::files::{Build, Order};

/// A section, then the same block over and over.
fn endless(block: Vec<u8>, times: u64) -> impl Read {
    let repeated = std::iter::repeat_n(block, times as usize).collect::<Vec<_>>().concat();
    Cursor::new(Build::ng(Order::Little).section().bytes()).chain(Cursor::new(repeated))
}

fn fault(mut reader: Reader) -> Fault {
    match reader.next_packet().map(|packet| packet.is_some()) {
        Err(Error::Damaged { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn interfaces_without_end_are_an_error() {
    let block = Build::ng(Order::Little).interface(1, 0, &[]).bytes();
    let reader = Reader::from_stream("many", endless(block.clone(), 70_000)).unwrap();
    assert_eq!(fault(reader), Fault::TooMany { what: "interfaces", most: 65_536 });
    let mut reader = Reader::from_stream("enough", endless(block, 65_536)).unwrap();
    assert!(reader.next_packet().unwrap().is_none());
    assert_eq!(reader.interfaces().len(), 65_536);
}

#[test]
fn names_without_end_are_an_error() {
    let name = [b'n'; 60_000];
    let block = Build::ng(Order::Little).interface(1, 0, &[(2, &name)]).bytes();
    let reader = Reader::from_stream("long", endless(block, 300)).unwrap();
    let Fault::TooMany { what, most: 16_777_216 } = fault(reader) else { panic!("another fault") };
    assert!(what.contains("names"));
}

#[test]
fn sections_without_end_are_counted_and_few_are_remembered() {
    let block = Build::ng(Order::Little).section().bytes();
    let mut reader = Reader::from_stream("sections", endless(block, 9_999)).unwrap();
    assert!(reader.next_packet().unwrap().is_none());
    assert_eq!((reader.sections(), reader.section_comments().len()), (10_000, 4_096));
}
