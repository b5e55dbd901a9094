//! Bundles: ours read by Mercurial, Mercurial's by us.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hgrpc_mercurial::mirror::{FetchError, MirrorWriter, verify};
use hgrpc_mercurial::{LiveMirror, Mirror, Phase, Repository};
use tempfile::TempDir;

use super::compare::assert_equal;
use super::hg::{self, CommandServer, run_tool};
use super::histories::{self, dump};
use super::repository::repository;
use super::served::Served;

/// What may be pulled of a repository, as Mercurial itself does.
fn reference(hg: &mut CommandServer, original: &Path, to: &Path) {
    let [from, to] = [original, to].map(|path| path.to_str().unwrap());
    hg.run(original, &["clone", "--pull", "-U", from, to]);
}

#[test]
fn our_bundles_are_read_by_mercurial() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut server = CommandServer::new(directory.path());
    let original = directory.path().join("original");
    histories::make(&mut server, &original, 43, 30);
    ours_are_read(&mut server, directory.path(), &original, &Told::All);
}

#[test]
#[ignore = "takes minutes; .ci/run mercurial runs it"]
fn our_bundle_of_a_thousand_changesets_is_read_by_mercurial() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let mut server = CommandServer::new(directory.path());
    let original = &repository().path;
    ours_are_read(&mut server, directory.path(), original, &Told::Nodes);
}

/// A mirror of a bundle has what the one has that it was made of. What a publishing repository
/// gives away is public from then on, whatever it was there;
/// a bundle does not say which repository did.
fn assert_same(one: &Path, origin: &Path) {
    let is_publishing = Mirror::open(origin).unwrap().is_publishing();
    let [one, origin] = [one, origin].map(|path| {
        let told = dump(path).into_iter();
        let told = told.map(|(name, text)| match name.strip_suffix(" Draft") {
            Some(name) if is_publishing => (format!("{name} Public"), text),
            _ => (name, text),
        });
        let told = told.filter(|(name, _)| name != "publishing");
        told.collect::<BTreeMap<_, _>>()
    });
    let names = |told: &BTreeMap<String, _>| told.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&origin));
    assert!(one == origin);
}

/// What is compared of two repositories.
enum Told {
    /// All that the commands print.
    All,
    /// The nodes, which stand for all below them once `hg verify` has been run, and their phases.
    Nodes,
}

/// Bundles of a mirror of this repository, and one without a mirror, are what it has.
fn ours_are_read(server: &mut CommandServer, directory: &Path, original: &Path, told: &Told) {
    let at = |name: &str| directory.join(name);
    let theirs = at("theirs");
    reference(server, original, &theirs);
    let template = ["log", "-r", "sort(all(), node)", "-T", "{node} {phase}\n"];
    let nodes = server.run(&theirs, &template);
    let count = nodes.split(|&byte| byte == b'\n').count() - 1;
    assert!(count > 10, "{count}");
    let serve = hg::Serve::new(original);
    let mirror = at("mirror");
    run_tool(&["hg", "mirror", &serve.url, mirror.to_str().unwrap()]);
    for compression in ["zstd", "none"] {
        let bundle = at(&format!("{compression}.hg"));
        let file = bundle.to_str().unwrap();
        let args = ["hg", "bundle", mirror.to_str().unwrap(), file];
        let line = run_tool(&[&args[..], &["--compression", compression]].concat());
        assert!(line.starts_with(&format!("{count} changesets, ")), "{line}");
        let ours = at(&format!("{compression}.unbundled"));
        fs::create_dir(&ours).unwrap();
        server.run(&ours, &["init"]);
        server.run(&ours, &["unbundle", file]);
        let text = |nodes: &[u8]| String::from_utf8(nodes.to_vec()).unwrap();
        let unbundled = server.run(&ours, &template);
        assert_eq!(text(&unbundled), text(&nodes), "{compression}");
        if compression == "zstd" {
            // All of it once, with each of the ways to read one.
            server.run(&ours, &["verify"]);
            if let Told::All = told {
                assert_equal(server, &ours, &theirs, compression);
                let cloned = at("cloned");
                let args = ["clone", "-U", file, cloned.to_str().unwrap()];
                server.run(directory, &args);
                server.run(&cloned, &["verify"]);
            }
        }
        // And back into a mirror.
        let again = at(&format!("{compression}.mirror"));
        run_tool(&["hg", "mirror", file, again.to_str().unwrap()]);
        assert!(verify(&again, &mut |_| {}).unwrap().damage.is_empty());
        assert_same(&again, &mirror);
    }
    // From a server, without a mirror.
    let direct = at("direct.hg");
    run_tool(&["hg", "bundle", &serve.url, direct.to_str().unwrap()]);
    let entries = fs::read_dir(directory).unwrap();
    let left = entries.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with(".hgrpc")
    });
    assert_eq!(left.count(), 0);
    let again = at("direct.mirror");
    let (direct, to) = (direct.to_str().unwrap(), again.to_str().unwrap());
    run_tool(&["hg", "mirror", direct, to]);
    assert_same(&again, &mirror);
}

#[test]
fn mercurials_bundles_are_read() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut server = CommandServer::new(directory.path());
    let original = at("original");
    let made = at("made");
    histories::make(&mut server, &made, 41, 40);
    // What is secret is not cloned.
    server.try_run(&made, &["phase", "--draft", "--force", "-r", "secret()"]);
    reference(&mut server, &made, &original);
    let nodes = server.run(&original, &["log", "-T", "{node}\n"]);
    let count = nodes.split(|&byte| byte == b'\n').count() - 1;
    assert!(count > 10, "{count}");
    // It says no where all are.
    server.try_run(&original, &["phase", "--public", "-r", "all()"]);
    let names = server.run(&original, &["bookmarks", "-q"]);
    for name in String::from_utf8(names).unwrap().lines() {
        server.run(&original, &["bookmark", "--delete", name]);
    }
    let types = [
        "none-v1", "gzip-v1", "bzip2-v1", "none-v2", "gzip-v2", "bzip2-v2", "zstd-v2",
    ];
    for kind in types {
        let bundle = at(&format!("{kind}.hg"));
        let file = bundle.to_str().unwrap();
        server.run(&original, &["bundle", "--all", "--type", kind, file]);
        let mirror = at(&format!("{kind}.mirror"));
        let told = run_tool(&["hg", "mirror", file, mirror.to_str().unwrap()]);
        assert!(
            told.starts_with(&format!("{count} new changesets")),
            "{told}"
        );
        if kind == "bzip2-v2" {
            let served = Served::new(LiveMirror::open(&mirror).unwrap());
            let ours = at("ours");
            let args = ["clone", "-U", &served.url, ours.to_str().unwrap()];
            server.run(directory.path(), &args);
            assert_equal(&mut server, &ours, &original, kind);
        } else {
            let len = Mirror::open(&mirror).unwrap().len();
            assert_eq!(usize::try_from(len).unwrap(), count);
        }
        // And back, of any compression.
        for compression in ["zstd", "gzip", "bzip2", "none"] {
            let (ours, again) = (at("again.hg"), at("again.mirror"));
            let ours = ours.to_str().unwrap();
            let args = ["hg", "bundle", mirror.to_str().unwrap(), ours];
            run_tool(&[&args[..], &["--compression", compression]].concat());
            run_tool(&["hg", "mirror", ours, again.to_str().unwrap()]);
            let (a, b) = (
                Mirror::open(&again).unwrap(),
                Mirror::open(&mirror).unwrap(),
            );
            assert_eq!((a.len(), a.revisions()), (b.len(), b.revisions()));
            fs::remove_dir_all(&again).unwrap();
            let unbundled = at("unbundled");
            server.run(directory.path(), &["init", "unbundled"]);
            server.run(&unbundled, &["unbundle", ours]);
            fs::remove_dir_all(&unbundled).unwrap();
        }
        // Again there is nothing new.
        let told = run_tool(&["hg", "mirror", file, mirror.to_str().unwrap()]);
        assert!(told.starts_with("0 new changesets"), "{told}");
    }
    // With phases, and with changegroups of the third version.
    let bundle = at("phases.hg");
    let args = ["phase", "--draft", "--force", "-r", "branch(default)"];
    server.run(&original, &args);
    let options = [
        "experimental.bundle-phases=true",
        "experimental.changegroup3=true",
    ];
    let options = ["--config", options[0], "--config", options[1]];
    let args = ["bundle", "--all", bundle.to_str().unwrap()];
    server.run(&original, &[&args[..], &options].concat());
    let mirror = at("phases.mirror");
    run_tool(&[
        "hg",
        "mirror",
        bundle.to_str().unwrap(),
        mirror.to_str().unwrap(),
    ]);
    let mirror = Mirror::open(&mirror).unwrap();
    let drafts = (0..mirror.len()).filter(|&number| mirror.phase(number) == Phase::Draft);
    let mut drafts: Vec<_> = drafts.map(|number| mirror.node(number).to_hex()).collect();
    drafts.sort();
    let args = ["log", "-r", "sort(draft(), node)", "-T", "{node}\n"];
    let theirs = String::from_utf8(server.run(&original, &args)).unwrap();
    assert_eq!(drafts, theirs.lines().collect::<Vec<_>>());
}

/// What is damaged, or needs what is not there, changes nothing.
#[test]
fn a_bundle_that_does_not_fit_is_refused() {
    if hg::hg().is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut server = CommandServer::new(directory.path());
    let original = at("original");
    server.run(directory.path(), &["init", "original"]);
    for number in 0..4 {
        fs::write(
            original.join("a"),
            format!("{}{number}\n", "line\n".repeat(50)),
        )
        .unwrap();
        server.run(&original, &["commit", "-A", "-m", "x", "-d", "0 0"]);
    }
    let (all, half) = (at("all.hg"), at("half.hg"));
    let bundle = |server: &mut CommandServer, base: &str, file: &Path| {
        let args = ["bundle", "--base", base, "-r", "tip", "-t", "none-v2"];
        server.run(&original, &[&args[..], &[file.to_str().unwrap()]].concat());
    };
    bundle(&mut server, "null", &all);
    bundle(&mut server, "1", &half);
    let mirror = at("mirror");
    let mut writer = MirrorWriter::open(&mirror).unwrap();
    let mut take = |bytes: &[u8]| writer.unbundle(bytes, "x", &mut |_, _| {});
    let half = fs::read(half).unwrap();
    let refused = take(&half).unwrap_err();
    assert!(
        refused.to_string().contains("which is not in the mirror"),
        "{refused}"
    );
    let all = fs::read(all).unwrap();
    for len in 0..all.len() - 4 {
        let refused = take(&all[..len]);
        assert!(
            matches!(refused, Err(FetchError::Bundle(_))),
            "{len}: {refused:?}"
        );
    }
    // A flip somewhere in the revisions is against some hash, or makes no bundle.
    for bit in (100 * 8..(all.len() - 400) * 8).step_by(19) {
        let mut wrong = all.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        let taken = take(&wrong);
        assert!(taken.is_err(), "bit {bit} of {}", all.len());
    }
    drop(writer);
    assert!(Mirror::open(&mirror).unwrap().is_empty());
    let mut writer = MirrorWriter::open(&mirror).unwrap();
    writer.unbundle(&all[..], "x", &mut |_, _| {}).unwrap();
    assert_eq!(writer.changesets(), 4);
    writer.unbundle(&half[..], "x", &mut |_, _| {}).unwrap();
    assert_eq!(writer.changesets(), 4);
    drop(writer);
    assert!(verify(&mirror, &mut |_| {}).unwrap().damage.is_empty());
    let other = fs::write(at("letter"), "dear")
        .map(|()| at("letter"))
        .unwrap();
    let output = hg::tool(&[
        "hg",
        "mirror",
        other.to_str().unwrap(),
        mirror.to_str().unwrap(),
    ]);
    let output = { output }.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("it is no bundle of Mercurial's"), "{error}");
}
