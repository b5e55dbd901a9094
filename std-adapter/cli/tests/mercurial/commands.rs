//! Every command: of Mercurial's server asked by us, of ours asked by Mercurial.

use std::collections::BTreeMap;

use hgrpc_mercurial::client::{ChangesetFields, Error, RevisionFields};
use hgrpc_mercurial::{
    Changeset, Client, FileText, Manifest, Node, PathFilter, PathPattern, Phase, Specifier,
};
use hgrpc_std::encoding::ContentEncoding;
use hgrpc_std::http;
use tempfile::TempDir;

use super::hg;
use super::repository::{MADE, repository};
use super::served::Served;

/// The one node that a template gives.
fn node(revision: &str) -> Node {
    let out = hg::run(&repository().path, &["log", "-r", revision, "-T", "{node}"]);
    out.parse().unwrap()
}

fn nodes(revisions: &str) -> Vec<Node> {
    let out = hg::run(
        &repository().path,
        &["log", "-r", revisions, "-T", "{node}\\n"],
    );
    out.lines().map(|line| line.parse().unwrap()).collect()
}

fn client(url: &str, encoding: ContentEncoding) -> Client {
    let mut config = http::Config::default();
    config.encodings = vec![encoding];
    Client::connect(url, config).unwrap()
}

fn sorted(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.sort();
    nodes
}

const TEXT: RevisionFields = RevisionFields::TEXT;

fn every_command(encoding: ContentEncoding) {
    if hg::hg().is_none() {
        return;
    }
    let serve = hg::Serve::new(&repository().path);
    let client = client(&serve.url, encoding);
    let unknown = Node::new([0xaa; 20]);
    let tag = node("v1.0");

    assert!(client.http().capabilities().commands.len() >= 12);
    let heads = sorted(client.heads(false).unwrap());
    assert_eq!(heads, sorted(nodes("heads(all())")));
    assert_eq!(client.heads(true).unwrap(), nodes("heads(public())"));
    assert_eq!(client.known(&[tag, unknown]).unwrap(), [true, false]);
    let both = client.heads_and_known(&[unknown]).unwrap();
    assert_eq!((sorted(both.0), both.1), (heads.clone(), vec![false]));
    let branches = client.branchmap().unwrap();
    assert_eq!(branches[&b"stable"[..]], nodes("branch(stable)"));
    assert_eq!(branches.len(), 2);
    let marks = BTreeMap::from([
        (b"before".to_vec(), node("before")),
        (b"draft-work".to_vec(), node("draft-work")),
    ]);
    assert_eq!(client.bookmarks().unwrap(), marks);
    assert_eq!(client.listkeys("namespaces").unwrap().len(), 3);
    assert_eq!(client.listkeys("nosuch").unwrap(), BTreeMap::new());
    let roots = sorted(client.discover(&[]).unwrap().draft_roots);
    assert_eq!(roots, sorted(nodes("roots(draft())")));
    assert_eq!(client.lookup("v1.0").unwrap(), tag);
    let refused = client.lookup("nosuch");
    assert!(
        matches!(refused, Err(Error::Http(http::Error::Server(_)))),
        "{refused:?}"
    );

    // A bookmark comes, does not move from where it is not, and goes.
    let (here, there) = (tag.to_hex(), node("tip").to_hex());
    let push = |old: &str, new: &str| {
        client
            .pushkey("bookmarks", b"pushed", old.as_bytes(), new.as_bytes())
            .unwrap()
    };
    assert!(push("", &here));
    assert!(!push(&there, &there));
    assert!(push(&here, ""));

    // All changesets: texts with the right hashes, as the template has it.
    let range = Specifier::Range {
        roots: vec![],
        heads: heads.clone(),
    };
    let changesets = client
        .changesets(std::slice::from_ref(&range), ChangesetFields::ALL)
        .unwrap();
    assert_eq!(changesets.total(), u64::from(MADE + 8));
    let all: Vec<_> = changesets.map(Result::unwrap).collect();
    let drafts: Vec<Node> = all
        .iter()
        .filter(|data| data.phase == Some(Phase::Draft))
        .map(|data| data.node)
        .collect();
    assert_eq!(drafts, nodes("draft()"));
    let parsed: BTreeMap<Node, Changeset> = all
        .iter()
        .map(|data| {
            (
                data.node,
                Changeset::parse(data.text.as_ref().unwrap()).unwrap(),
            )
        })
        .collect();
    for data in &all {
        assert_eq!(&parsed[&data.node].emit(), data.text.as_ref().unwrap());
    }
    let depth = Specifier::Depth {
        nodes: vec![tag],
        depth: 3,
    };
    let fields = ChangesetFields {
        parents: true,
        ..ChangesetFields::default()
    };
    let found = client.changesets(&[depth], fields).unwrap();
    assert_eq!(
        found.map(|data| data.unwrap().node).collect::<Vec<_>>(),
        nodes("last(::v1.0, 3)")
    );

    // Manifests in batches, with deltas applied and hashes verified.
    let mut manifests: Vec<Node> = all.iter().map(|data| parsed[&data.node].manifest).collect();
    manifests.sort();
    manifests.dedup();
    let texts: BTreeMap<Node, Vec<u8>> = manifests
        .chunks(client.batch_size("manifestdata").min(2000))
        .flat_map(|nodes| client.manifests(nodes, TEXT).unwrap().texts())
        .map(|text| text.map(|(info, text)| (info.node, text)).unwrap())
        .collect();
    assert_eq!(texts.len(), manifests.len());
    let missing = client.manifests(&[unknown], TEXT);
    assert!(
        matches!(missing, Err(Error::Http(http::Error::Command(_)))),
        "{missing:?}"
    );

    // All files of some changesets, each revision as a stream.
    let tip = node("default");
    let manifest = Manifest::new(&texts[&parsed[&tip].manifest]);
    let here = Specifier::Explicit(vec![tip]);
    let mut files = client
        .files(std::slice::from_ref(&here), TEXT, &PathFilter::default())
        .unwrap();
    let mut entries = manifest.entries();
    while let Some((path, count)) = files.next_file().unwrap() {
        assert_eq!(count, 1);
        let entry = entries.next().unwrap().unwrap();
        let incoming = files.next_revision().unwrap().unwrap();
        assert_eq!((&path[..], incoming.info.node), (entry.path, entry.node));
        let mut text = Vec::new();
        incoming.write_to(|_| Ok(None), &mut text).unwrap();
        assert!(FileText::parse(&text).is_ok());
    }
    assert!(entries.next().is_none());
    let filter = PathFilter {
        include: vec![PathPattern::Path(b"dir3".to_vec())],
        exclude: vec![PathPattern::Path(b"dir3/file03".to_vec())],
    };
    let mut files = client
        .files(&[here], RevisionFields::default(), &filter)
        .unwrap();
    while let Some((path, _)) = files.next_file().unwrap() {
        assert!(filter.matches(&path));
    }
    // H-06: what makes Mercurial's server fail is told as its error.
    let removing = node("desc('copies, renames')");
    let fields = RevisionFields {
        have_parents: true,
        ..TEXT
    };
    let failed = client.files(
        &[Specifier::Explicit(vec![removing])],
        fields,
        &PathFilter::default(),
    );
    assert!(
        matches!(failed, Err(Error::Http(http::Error::Server(_)))),
        "{failed:?}"
    );

    // A file that was copied, with the changeset that it came with.
    let entry = Manifest::new(&texts[&parsed[&removing].manifest])
        .find(b"copied")
        .unwrap()
        .unwrap();
    let fields = RevisionFields {
        linknode: true,
        ..TEXT
    };
    let mut copied = client
        .file(b"copied", &[entry.node], fields)
        .unwrap()
        .texts();
    let (info, text) = copied.next().unwrap().unwrap();
    assert_eq!(info.linknode, Some(removing));
    let (from, _) = FileText::parse(&text).unwrap().copied_from().unwrap();
    assert_eq!(from, b"binary");
    let missing = client.file(b"nosuch", &[entry.node], TEXT);
    assert!(
        matches!(missing, Err(Error::Http(http::Error::Command(_)))),
        "{missing:?}"
    );

    let mut raw = client
        .raw_store_files(&["changelog", "manifestlog"])
        .unwrap();
    let (mut count, mut total) = (0, 0);
    while let Some(mut file) = raw.next().unwrap() {
        count += 1;
        total += std::io::copy(&mut file.contents, &mut std::io::sink()).unwrap();
    }
    assert_eq!((count, total), (raw.files(), raw.total()));
    assert!(count > 0);
}

#[test]
fn every_command_with_identity() {
    every_command(ContentEncoding::Identity);
}

#[test]
fn every_command_with_zlib() {
    every_command(ContentEncoding::Zlib);
}

#[test]
fn every_command_with_zstd() {
    every_command(ContentEncoding::Zstd8Mb);
}

#[test]
fn the_tool_asks_mercurials_server() {
    if hg::hg().is_none() {
        return;
    }
    let path = &repository().path;
    let serve = hg::Serve::new(path);
    let tool = |args: &[&str]| hg::run_tool(&[&["hg"], args].concat());
    let url = serve.url.as_str();
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let ours = lines(tool(&["heads", url]));
    assert_eq!(
        ours,
        lines(hg::run(
            path,
            &["log", "-r", "heads(all())", "-T", "{node}\\n"]
        ))
    );
    let marks = "{bookmark} {node}\\n";
    assert_eq!(
        tool(&["bookmarks", url]),
        hg::run(path, &["bookmarks", "-T", marks])
    );
    assert!(tool(&["branches", url]).contains("stable "));
    let template = "{node} {date(date, '%Y-%m-%dT%H:%M:%SZ')} {user} {desc|firstline}\\n";
    let theirs = hg::command(path)
        .env("TZ", "UTC")
        .args(["log", "-r", "last(all(), 3)", "-T", template])
        .output()
        .unwrap();
    let ours = tool(&["log", url, "--limit", "3"]);
    assert_eq!(ours.lines().count(), 3);
    let first = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let theirs = String::from_utf8(theirs.stdout).unwrap();
    assert_eq!(
        ours.lines().map(first).collect::<Vec<_>>(),
        theirs.lines().map(first).collect::<Vec<_>>()
    );
    assert_eq!(
        tool(&["files", url, "-r", "default"]),
        hg::run(path, &["manifest", "-r", "default"])
    );
    for file in ["copied", "escaped", "large", "caf\u{e9} & more"] {
        let output = hg::tool(&["hg", "cat", url, file, "-r", "draft-work"])
            .output()
            .unwrap();
        let theirs = hg::command(path)
            .args(["cat", file, "-r", "draft-work"])
            .output()
            .unwrap();
        assert!(
            output.status.success() && output.stdout == theirs.stdout,
            "{file}"
        );
    }
    let json = tool(&["log", url, "--json", "--limit", "1"]);
    assert!(json.contains("\"phase\":\"draft\""), "{json}");
}

/// Asks a server as Mercurial's own tool for that does.
fn ask(url: &str, command: &str) -> String {
    let directory = TempDir::new().unwrap();
    let args = ["debugwireproto", "--peer", "http2", "--nologhandshake", url];
    hg::talk(directory.path(), &args, command)
}

/// A node as Mercurial's tool reads it.
fn escaped(node: Node) -> String {
    let bytes = node.as_bytes().iter();
    bytes.map(|byte| format!("\\x{byte:02x}")).collect()
}

#[test]
fn mercurial_asks_every_command_of_ours() {
    if hg::hg().is_none() {
        return;
    }
    let repository = super::repository::made();
    let tip = {
        use hgrpc_mercurial::Repository;
        repository.node(repository.len() - 1)
    };
    repository.set_bookmark("mark", tip);
    let served = Served::memory(repository);
    let url = served.url.as_str();
    let bytes = escaped(tip);
    let (manifest, path, file) = {
        let client = Client::connect(url, Default::default()).unwrap();
        let fields = ChangesetFields {
            revision: true,
            ..ChangesetFields::default()
        };
        let mut found = client
            .changesets(&[Specifier::Explicit(vec![tip])], fields)
            .unwrap();
        let text = found.next().unwrap().unwrap().text.unwrap();
        let manifest = Changeset::parse_manifest(&text).unwrap();
        let revisions = client.manifests(&[manifest], RevisionFields::TEXT);
        let (_, text) = revisions.unwrap().texts().next().unwrap().unwrap();
        let entry = Manifest::new(&text).entries().next().unwrap().unwrap();
        let path = String::from_utf8(entry.path.to_vec()).unwrap();
        (escaped(manifest), path, escaped(entry.node))
    };
    let explicit = format!("[{{b'type': b'changesetexplicit', b'nodes': [b'{bytes}']}}]");
    let good = [
        ("heads", vec![], "response: ["),
        (
            "heads",
            vec!["publiconly eval:True".to_owned()],
            "response: [",
        ),
        (
            "known",
            vec![format!("nodes eval:[b'{bytes}', b'aaaaaaaaaaaaaaaaaaaa']")],
            "True,\n  False",
        ),
        ("branchmap", vec![], "b'default': ["),
        (
            "listkeys",
            vec!["namespace bookmarks".to_owned()],
            "b'mark': b'",
        ),
        (
            "listkeys",
            vec!["namespace phases".to_owned()],
            "response: {}",
        ),
        ("lookup", vec!["key tip".to_owned()], "response: b'"),
        (
            "pushkey",
            [
                "namespace bookmarks",
                "key other",
                "old eval:b''",
                &format!("new {}", tip.to_hex()),
            ]
            .map(str::to_owned)
            .to_vec(),
            "response: True",
        ),
        ("capabilities", vec![], "b'recommendedbatchsize': "),
        (
            "changesetdata",
            vec![
                format!("revisions eval:{explicit}"),
                "fields eval:[b'parents', b'phase', b'revision', b'bookmarks']".to_owned(),
            ],
            "b'phase': b'public'",
        ),
        (
            "manifestdata",
            vec![
                format!("nodes eval:[b'{manifest}']"),
                "tree eval:b''".to_owned(),
                "fields eval:[b'parents', b'revision']".to_owned(),
            ],
            "b'fieldsfollowing': [",
        ),
        (
            "filesdata",
            vec![
                format!("revisions eval:{explicit}"),
                "fields eval:[b'linknode']".to_owned(),
                "pathfilter eval:{b'include': [b'path:dir3']}".to_owned(),
            ],
            "b'path': b'dir3/",
        ),
        (
            "filedata",
            vec![
                format!("path {path}"),
                format!("nodes eval:[b'{file}']"),
                "fields eval:[b'parents', b'revision']".to_owned(),
            ],
            "b'fieldsfollowing': [",
        ),
        (
            "rawstorefiledata",
            vec!["files eval:[b'changelog']".to_owned()],
            "b'filecount': 0",
        ),
    ];
    let mut script = String::new();
    for (command, args, _) in &good {
        script.push_str(&format!("command {command}\n"));
        args.iter()
            .for_each(|arg| script.push_str(&format!("    {arg}\n")));
    }
    let all = ask(url, &script);
    let mut rest = all.as_str();
    for (command, _, expected) in &good {
        let at = rest.find(&format!("sending {command} command"));
        rest = &rest[at.unwrap_or_else(|| panic!("{command}: {all}"))..];
        let answer = rest
            .get(10..)
            .and_then(|r| r.find("\nsending "))
            .map_or(rest, |end| &rest[..end + 10]);
        assert!(answer.contains(expected), "{command}: {answer}");
        rest = &rest[10..];
    }
    for (command, arg, expected) in [
        (
            "heads",
            "nosuch 1",
            "heads does not accept argument: nosuch",
        ),
        (
            "filedata",
            "path nosuch\n    nodes eval:[b'aaaaaaaaaaaaaaaaaaaa']",
            "unknown file: nosuch",
        ),
        (
            "manifestdata",
            "tree eval:b''\n    nodes eval:[b'aaaaaaaaaaaaaaaaaaaa']",
            "unknown node: aaaaaaaaaaaaaaaaaaaa",
        ),
        (
            "manifestdata",
            "tree eval:b''\n    nodes eval:True",
            "nodes is not of type list",
        ),
        (
            "known",
            "nodes eval:[b'abc']",
            "node len 3 != expected node len 20",
        ),
        ("lookup", "key nosuch", "unknown revision 'nosuch'"),
        ("listkeys", "namespace eval:7", "is not of type bytes"),
        (
            "changesetdata",
            "revisions eval:[{b'type': b'nosuch'}]",
            "unknown revision specifier type: nosuch",
        ),
        (
            "changesetdata",
            "revisions eval:[{b'x': 1}]",
            "type key not present in revision specifier",
        ),
        (
            "filesdata",
            "revisions eval:[]\n    pathfilter eval:{b'include': [b'glob:*']}",
            "pattern must begin with `path:` or `rootfilesin:`; got glob:*",
        ),
        (
            "rawstorefiledata",
            "files eval:[b'nosuch']",
            "unknown file type: nosuch",
        ),
        (
            "branchmap",
            "nosuch 1",
            "branchmap does not accept argument: nosuch",
        ),
        ("pushkey", "namespace bookmarks\n    key other", "missing"),
        ("nosuch", "key x", "command nosuch is not available"),
    ] {
        let answer = ask(url, &format!("command {command}\n    {arg}\n"));
        let shown = answer.to_lowercase();
        let is_refused = ["abort", "error", "unknown", "cannot"]
            .iter()
            .any(|word| shown.contains(word));
        assert!(is_refused, "{command} {arg}: {answer}");
        assert!(answer.contains(expected), "{command} {arg}: {answer}");
        // And the server goes on.
    }
    assert!(ask(url, "command heads\n").contains("response: ["));
}
