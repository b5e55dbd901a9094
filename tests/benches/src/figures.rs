//! What is measured, and how far it should come.

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    /// For people.
    pub(crate) title: &'static str,
    /// The row's name, behind the name of who does it.
    pub(crate) row: &'static str,
    /// The row that is taken off: the figure is the difference.
    pub(crate) less: Option<&'static str>,
    /// Most instructions, if there is a goal.
    pub(crate) goal: Option<u32>,
}

const fn figure(title: &'static str, row: &'static str, goal: u32) -> Figure {
    Figure {
        title,
        row,
        less: None,
        goal: Some(goal),
    }
}

/// All lines, in order.
pub(crate) const FIGURES: &[Figure] = &[
    figure("parse a frame", "parse-frame", 32),
    figure(
        "streamed data frame through the server, fixed store",
        "data-fixed",
        90,
    ),
    figure("the same, growable store", "data-growable", 130),
    figure(
        "the same, 64 requests open, growable",
        "data-growable-64",
        130,
    ),
    figure(
        "the same, 4,096 requests open, growable",
        "data-growable-4096",
        130,
    ),
    figure(
        "small request (40 B) to its answer (40 B), fixed store, 0005 by type",
        "request-fixed",
        550,
    ),
    figure(
        "the same, growable store, 0006 by value",
        "request-growable",
        1_000,
    ),
    figure(
        "round trip, client and server, fixed store, 0005 by type",
        "round-trip",
        1_000,
    ),
    Figure {
        less: Some("request-fixed"),
        ..figure(
            "one more 10-byte argument that is not read, fixed store",
            "longer-request-fixed",
            120,
        )
    },
    Figure {
        less: Some("request-growable"),
        ..figure(
            "the same, growable store, 0006 by value",
            "longer-request-growable",
            120,
        )
    },
    Figure {
        less: Some("request-fixed"),
        goal: None,
        ..figure(
            "one more 10-byte argument that is read, fixed store",
            "rated-request-fixed",
            0,
        )
    },
];
