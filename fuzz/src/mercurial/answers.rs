//! What a server says in answer to typed calls.

use std::sync::Arc;

use hgrpc_mercurial::client::{ChangesetFields, Error, Form, RevisionFields};
use hgrpc_mercurial::{Client, Commands, MemoryRepository, Node, PathFilter, Specifier, Text};
use hgrpc_std::http::{Config, FRAMING_MEDIA_TYPE};

use crate::canned::{Canned, Cuts, answer, connected};
use crate::frames::frame;
use crate::input::Input;

thread_local! {
    static CLIENT: (Canned, Client) = connect();
}

/// A client of a server with all commands.
fn connect() -> (Canned, Client) {
    let commands = Commands::new(Arc::new(MemoryRepository::new()));
    let (canned, client) = connected(&commands.capabilities, Config::default());
    (canned, client.into())
}

/// The status map, then the values, in one response for each request.
fn body(input: &mut Input<'_>, requests: u16) -> Vec<u8> {
    let mut body = Vec::new();
    for number in 0..requests {
        let len = usize::from(input.byte()) << 2;
        let values = match number + 1 == requests {
            true => input.rest(),
            false => input.bytes(len),
        };
        let payload = [b"\xa1\x46status\x42ok", values].concat();
        let flags = u8::from(number == 0);
        body.extend(frame(2 * number + 1, 2, flags, 3, 2, &payload));
    }
    body
}

/// Whatever a server says, texts have the hashes that name them, and there are no more of anything
/// than was announced.
pub(super) fn answers(input: &mut Input<'_>) {
    let which = input.byte() % 10;
    let requests = match which {
        0 => 2,
        1 => 4,
        _ => 1,
    };
    let answer = answer(
        "200 OK",
        &[("Content-Type", FRAMING_MEDIA_TYPE)],
        &body(input, requests),
    );
    CLIENT.with(|(canned, client)| {
        canned.answer(answer, Cuts::Nowhere);
        canned.take_sent();
        let result = call(client, which);
        assert_eq!(canned.take_sent().len(), 1);
        if let Err(error) = result {
            assert!(!error.to_string().is_empty());
        }
    });
}

fn call(client: &Client, which: u8) -> Result<(), Error> {
    let node = Node::new([7; 20]);
    let asked = [node, Node::NULL];
    let range = [Specifier::Range {
        roots: Vec::new(),
        heads: vec![node],
    }];
    match which {
        0 => assert_eq!(client.heads_and_known(&asked)?.1.len(), asked.len()),
        1 => assert_eq!(client.discover(&asked)?.known.len(), asked.len()),
        2 => drop(client.branchmap()?),
        3 => drop(client.lookup("tip")?),
        4 => {
            let mut changesets = client.changesets(&range, ChangesetFields::ALL)?;
            let (total, mut selected) = (changesets.total(), 0);
            for changeset in changesets.by_ref() {
                let changeset = changeset?;
                selected += u64::from(changeset.is_selected);
                if let Some(text) = changeset.text {
                    let parents = changeset.parents.expect("they were needed");
                    assert_eq!(Node::of_revision(parents, &text), changeset.node);
                }
            }
            assert_eq!(selected, total);
            assert!(changesets.next().is_none());
        }
        5 => {
            let revisions = client.manifests(&asked, RevisionFields::TEXT)?;
            let (total, mut count) = (revisions.total(), 0);
            for revision in revisions.texts() {
                let (info, text) = revision?;
                let parents = info.parents.expect("they were needed");
                assert_eq!(Node::of_revision(parents, &text), info.node);
                count += 1;
            }
            assert_eq!(count, total);
        }
        6 => {
            let mut revisions = client.file(b"path", &asked, RevisionFields::TEXT)?;
            let (total, mut count) = (revisions.total(), 0);
            while let Some(incoming) = revisions.next()? {
                count += 1;
                let (info, mut text) = (incoming.info, Vec::new());
                if count % 4 == 0 {
                    // Not read: it is passed over.
                    continue;
                }
                let base = |_: &Node| Ok(Some(Text::from(b"0123456789".to_vec())));
                let written = incoming.write_to(base, &mut text)?;
                assert_eq!(written, u64::try_from(text.len()).unwrap());
                let parents = info.parents.expect("they were needed");
                assert_eq!(Node::of_revision(parents, &text), info.node);
                if let Form::Text(len) = info.form {
                    assert_eq!(len, written);
                }
            }
            assert_eq!(count, total);
        }
        7 => {
            let fields = RevisionFields::TEXT;
            let mut files = client.files(&range, fields, &PathFilter::default())?;
            let mut paths = 0;
            while let Some((_, revisions)) = files.next_file()? {
                paths += 1;
                let mut read = 0;
                // Of every other file one is not read.
                while read + paths % 2 < revisions
                    && let Some(incoming) = files.next_revision()?
                {
                    read += 1;
                    incoming.into_bytes()?.read_all(1 << 20)?;
                }
                assert!(read <= revisions);
            }
            assert_eq!(paths, files.paths());
        }
        8 => {
            let mut files = client.raw_store_files(&["changelog"])?;
            let mut count = 0;
            while let Some(file) = files.next()? {
                count += 1;
                file.contents.read_all(1 << 20)?;
            }
            assert_eq!(count, files.files());
        }
        _ => drop(client.bookmarks()?),
    }
    Ok(())
}
