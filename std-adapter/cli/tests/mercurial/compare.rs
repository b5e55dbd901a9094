//! Two repositories of Mercurial's are equal in all that its commands print.

use std::fs;
use std::path::Path;

use super::hg::CommandServer;

/// Lines without the numbers that changesets and manifests have here: they go by the order in which
/// they came.
fn without_numbers(text: &[u8]) -> Vec<Vec<u8>> {
    let is_hex = |bytes: &[u8]| bytes.len() >= 12 && bytes.iter().all(u8::is_ascii_hexdigit);
    let word = |word: &[u8]| {
        let colon = word.iter().position(|&byte| byte == b':');
        match colon.map(|colon| (&word[..colon], &word[colon + 1..])) {
            Some((number, node)) if is_hex(node) && number.parse_ascii() => node.to_vec(),
            _ => word.to_vec(),
        }
    };
    let lines = text.split(|&byte| byte == b'\n');
    let lines = lines.map(|line| {
        line.split(|&byte| byte == b' ')
            .map(word)
            .collect::<Vec<_>>()
    });
    lines.map(|words| words.join(&b' ')).collect()
}

trait Ascii {
    fn parse_ascii(&self) -> bool;
}

impl Ascii for [u8] {
    /// Whether this is a number, of `-1` too.
    fn parse_ascii(&self) -> bool {
        let digits = self.strip_prefix(b"-").unwrap_or(self);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    }
}

/// All that the commands print of a repository, under the names of the commands.
pub(crate) fn told(hg: &mut CommandServer, repository: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let mut told = Vec::new();
    // Mercurial's own notes may be of an earlier state of the tags.
    let _ = fs::remove_dir_all(repository.join(".hg/cache"));
    // A line of `.hgtags` that is no tag (of a history at random) is complained about by whichever
    // command reads the file first.
    hg.run(repository, &["tags"]);
    // Changesets go by their nodes, since two ways to fetch them may bring them in another order.
    let mut log =
        without_numbers(&hg.run(repository, &["log", "--debug", "-r", "sort(all(), node)"]));
    // Which one came last is no part of the history.
    log.retain(|line| line != b"tag:         tip");
    told.push(("log --debug".to_owned(), log));
    for command in [
        &["bookmarks"][..],
        &["branches", "-c"],
        &["tags"],
        &["phase", "-r", "sort(all(), node)"],
    ] {
        let mut lines = without_numbers(&hg.run(repository, command));
        for line in &mut lines {
            // `phase` prints a number before each.
            if let Some(colon) = line.iter().position(|&byte| byte == b':')
                && line[..colon].parse_ascii()
            {
                line.drain(..colon);
            }
            // Columns are as wide as the numbers need.
            let words = line
                .split(|&byte| byte == b' ')
                .filter(|word| !word.is_empty());
            *line = words.collect::<Vec<_>>().join(&b' ');
        }
        lines.retain(|line| !line.starts_with(b"tip "));
        lines.sort();
        told.push((command[0].to_owned(), lines));
    }
    let nodes = hg.run(
        repository,
        &["log", "-r", "sort(all(), node)", "-T", "{node}\\n"],
    );
    // The files of at most a hundred: what their nodes say of the others, `verify` has checked.
    let nodes = String::from_utf8(nodes).unwrap();
    let step = nodes.lines().count() / 100 + 1;
    for node in nodes.lines().step_by(step) {
        // It fails where there is no file.
        let template = "{path}\\0{data}\\0";
        let args = ["cat", "-r", node, "-T", template, "glob:**"];
        let (_, cat, _) = hg.try_run(repository, &args.map(str::to_owned));
        told.push((format!("cat -r {node}"), vec![cat]));
    }
    told
}

/// Two repositories are equal in what is told of them.
pub(crate) fn assert_equal(hg: &mut CommandServer, ours: &Path, theirs: &Path, what: &str) {
    let [ours, theirs] = [ours, theirs].map(|path| told(hg, path));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(
            ours == theirs,
            "{what}: {}\nours:\n{}\ntheirs:\n{}",
            theirs.0,
            shown(&ours.1),
            shown(&theirs.1)
        );
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

fn shown(lines: &[Vec<u8>]) -> String {
    let text = lines.join(&b'\n');
    let text = text.escape_ascii().to_string().replace("\\n", "\n");
    text.chars().take(10_000).collect()
}
