//! Every rule of the specification can be found from its section's name in the code.
//!
//! The specification is in `core/spec`. Code cites it by file and section: `framing.md, "Header"`,
//! `server.md, row 4a`, `revision-0006.md, 5.1 to 5.7`, `deviations.md, D8` (or `D8` beside it).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn specification(file: &str) -> String {
    let path = root().join("core/spec").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The text of all Rust files below these folders, each with its comments joined into one line.
fn sources(folders: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut pending: Vec<PathBuf> = folders.iter().map(|f| root().join(f)).collect();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let join = Regex::new(r"\n\s*//[/!]? ?").unwrap();
            texts.push(join.replace_all(&text, " ").into_owned());
        }
    }
    assert!(!texts.is_empty());
    texts
}

const CODE: [&str; 4] = [
    "core/src",
    "std-adapter/src",
    "std-adapter/mercurial/src",
    "std-adapter/cli/src",
];

/// Headings of a file that no source cites in quotes beside the file's name.
fn uncited_headings(file: &str, sources: &[String]) -> Vec<String> {
    let heading = Regex::new(r"(?m)^## (.+)$").unwrap();
    let text = specification(file);
    let mut uncited = Vec::new();
    for found in heading.captures_iter(&text) {
        let quoted = format!("\"{}\"", &found[1]);
        if !sources
            .iter()
            .any(|s| s.contains(file) && s.contains(&quoted))
        {
            uncited.push(format!("{file}, {quoted}"));
        }
    }
    uncited
}

/// Section numbers that follow `revision-0006.md` in the sources, ranges filled in.
fn cited_sections(sources: &[String]) -> BTreeSet<String> {
    let citation = Regex::new(r"revision-0006\.md[^;)\n]*").unwrap();
    let item = Regex::new(r"(\d+)(?:\.(\d+)(a?))?(?: to (\d+)\.(\d+))?").unwrap();
    let mut sections = BTreeSet::new();
    for source in sources {
        for found in citation.find_iter(source) {
            for part in item.captures_iter(&found.as_str()["revision-0006.md".len()..]) {
                let chapter: u32 = part[1].parse().unwrap();
                let Some(first) = part.get(2) else {
                    sections.insert(chapter.to_string());
                    continue;
                };
                let first: u32 = first.as_str().parse().unwrap();
                sections.insert(format!("{chapter}.{first}{}", &part[3]));
                if let (Some(_), Some(last)) = (part.get(4), part.get(5)) {
                    let last: u32 = last.as_str().parse().unwrap();
                    sections.extend((first..=last).map(|n| format!("{chapter}.{n}")));
                }
            }
        }
    }
    sections
}

#[test]
fn every_section_is_cited() {
    let sources = sources(&CODE);
    let mut uncited = Vec::new();
    for file in [
        "framing.md",
        "messages.md",
        "server.md",
        "client.md",
        "link.md",
    ] {
        uncited.extend(uncited_headings(file, &sources));
    }
    let cited = cited_sections(&sources);
    let text = specification("revision-0006.md");
    let section = Regex::new(r"(?m)^(?:### )?(\d+\.\d+a?) ").unwrap();
    for found in section.captures_iter(&text) {
        let number = &found[1];
        // 6.7 tells what Mercurial does with the results; it is informative.
        if number != "6.7" && !cited.contains(number) {
            uncited.push(format!("revision-0006.md, {number}"));
        }
    }
    for chapter in ["8", "10", "11", "13"] {
        if !cited.contains(chapter) {
            uncited.push(format!("revision-0006.md, {chapter}"));
        }
    }
    assert!(uncited.is_empty(), "cited nowhere:\n{}", uncited.join("\n"));
}

#[test]
fn every_section_of_the_http_transport_is_cited() {
    let sources = sources(&CODE).concat();
    let text = specification("http-v2.md");
    let chapter = Regex::new(r"(?m)^## (\d+)\. ").unwrap();
    assert!(chapter.is_match(&text), "no chapters");
    let uncited: Vec<String> = chapter
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        // 7 is the list of findings; 8 is for those who build their own.
        .filter(|number| !["7", "8"].contains(&number.as_str()))
        .filter(|number| !sources.contains(&format!("http-v2.md, {number}")))
        // What was found out about Mercurial, as far as it is about this end.
        .chain(
            ["H-01", "H-02", "H-03", "H-05", "H-06", "H-09", "H-10"]
                .into_iter()
                .filter(|finding| !sources.contains(finding))
                .map(str::to_owned),
        )
        .collect();
    assert!(uncited.is_empty(), "cited nowhere: {uncited:?}");
}

#[test]
fn every_row_of_the_state_tables_is_cited() {
    let receive = |end: &str| sources(&[&format!("core/src/{end}/receive.rs")]).concat();
    let row = Regex::new(r"(?m)^\| (\d+a?) \|").unwrap();
    let cited = Regex::new(r"[Rr]ows? (\d+a?)(?: (to|and) (\d+a?))?").unwrap();
    let mut missing = String::new();
    for end in ["server", "client"] {
        let source = receive(end);
        let mut rows = BTreeSet::new();
        for found in cited.captures_iter(&source) {
            rows.insert(found[1].to_owned());
            if let Some(last) = found.get(3) {
                rows.insert(last.as_str().to_owned());
                let number = |s: &str| s.trim_end_matches('a').parse::<u32>().unwrap();
                if &found[2] == "to" {
                    rows.extend((number(&found[1])..=number(last.as_str())).map(|n| n.to_string()));
                }
            }
        }
        for found in row.captures_iter(&specification(&format!("{end}.md"))) {
            if !rows.contains(&found[1]) {
                writeln!(missing, "{end}.md, row {}", &found[1]).unwrap();
            }
        }
    }
    assert!(missing.is_empty(), "cited nowhere:\n{missing}");
}

#[test]
fn every_row_of_the_link_is_cited() {
    let source = sources(&["core/src/link"]).concat();
    let cited = Regex::new(r"\bL(\d+)(?: to L(\d+))?").unwrap();
    let number = |s: &str| s.parse::<u32>().unwrap();
    let rows: BTreeSet<u32> = cited
        .captures_iter(&source)
        .flat_map(|found| {
            let first = number(&found[1]);
            first..=found.get(2).map_or(first, |last| number(last.as_str()))
        })
        .collect();
    let row = Regex::new(r"(?m)^\| L(\d+) \|").unwrap();
    let text = specification("link.md");
    let missing: Vec<u32> = row
        .captures_iter(&text)
        .map(|found| number(&found[1]))
        .filter(|n| !rows.contains(n))
        .collect();
    assert!(
        row.is_match(&text) && missing.is_empty(),
        "cited nowhere: {missing:?}"
    );
}

#[test]
fn every_deviation_is_named_in_code_or_tests() {
    let sources = sources(&["core", "std-adapter", "tests/src", "tests/tests"]);
    let row = Regex::new(r"(?m)^\| (D\d+) \|").unwrap();
    let missing: Vec<String> = row
        .captures_iter(&specification("deviations.md"))
        .map(|found| found[1].to_owned())
        .filter(|d| {
            let name = Regex::new(&format!(r"(?i)\b{d}(\b|_)")).unwrap();
            !sources.iter().any(|s| name.is_match(s))
        })
        .collect();
    assert!(missing.is_empty(), "named nowhere: {missing:?}");
}
