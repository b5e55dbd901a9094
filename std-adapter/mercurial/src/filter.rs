//! Which paths are meant (http-v2.md, 5.3).

use hgrpc_std::value::Value;

use super::values::bytes;

/// One pattern of a path filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathPattern {
    /// A file, or everything in a directory: `path:`. An empty path is everything.
    Path(Vec<u8>),
    /// The files of a directory, but not of those in it: `rootfilesin:`.
    RootFilesIn(Vec<u8>),
}

const PATH: &[u8] = b"path:";
const ROOT_FILES_IN: &[u8] = b"rootfilesin:";

impl PathPattern {
    /// The pattern that this text is; `None` if it has neither prefix.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(path) = text.strip_prefix(PATH) {
            return Some(Self::Path(plain(path)));
        }
        text.strip_prefix(ROOT_FILES_IN)
            .map(|path| Self::RootFilesIn(plain(path)))
    }

    /// The pattern's text.
    pub fn emit(&self) -> Vec<u8> {
        match self {
            Self::Path(path) => [PATH, path].concat(),
            Self::RootFilesIn(path) => [ROOT_FILES_IN, path].concat(),
        }
    }

    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Path(prefix) => {
                let rest = path.strip_prefix(prefix.as_slice());
                prefix.is_empty() || matches!(rest, Some([] | [b'/', ..]))
            }
            Self::RootFilesIn(directory) => {
                let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                path.get(..end) == Some(directory.as_slice())
            }
        }
    }
}

/// A path without empty parts and without `.`: `./a//b/` is `a/b`, `.` is the root.
fn plain(path: &[u8]) -> Vec<u8> {
    let parts = path.split(|&byte| byte == b'/');
    let parts: Vec<_> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    parts.join(&b'/')
}

/// Which paths are meant: those that any of `include` matches, or all if it is empty, without those
/// that any of `exclude` matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathFilter {
    /// What is wanted; everything if it is empty.
    pub include: Vec<PathPattern>,
    /// What is not.
    pub exclude: Vec<PathPattern>,
}

impl PathFilter {
    /// Whether a path is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        let any = |patterns: &[PathPattern]| patterns.iter().any(|p| p.matches(path));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// The filter as it is sent.
    pub fn to_value(&self) -> Value {
        let list = |patterns: &[PathPattern]| {
            Value::Array(patterns.iter().map(|p| bytes(p.emit())).collect())
        };
        let all = [("include", &self.include), ("exclude", &self.exclude)];
        Value::object(
            all.into_iter()
                .filter(|(_, patterns)| !patterns.is_empty())
                .map(|(key, patterns)| (key, list(patterns))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> PathFilter {
        let parse = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|p| PathPattern::parse(p.as_bytes()));
            patterns.collect::<Option<_>>().unwrap()
        };
        PathFilter {
            include: parse(include),
            exclude: parse(exclude),
        }
    }

    #[test]
    fn patterns_match_whole_parts_of_paths() {
        let all = ["a", "sub", "sub/f", "sub/deep/g", "sub2/f"];
        for (include, exclude, expected) in [
            (&[][..], &[][..], &all[..]),
            (&["path:sub"], &[], &["sub", "sub/f", "sub/deep/g"]),
            (&["path:sub/"], &["path:sub/deep"], &["sub", "sub/f"]),
            (&["rootfilesin:sub"], &[], &["sub/f"]),
            (&["rootfilesin:"], &[], &["a", "sub"]),
            (
                &["path:"],
                &["path:a"],
                &["sub", "sub/f", "sub/deep/g", "sub2/f"],
            ),
            (
                &["path:."],
                &["rootfilesin:."],
                &["sub/f", "sub/deep/g", "sub2/f"],
            ),
            (&["path:a", "path:sub2/f"], &[], &["a", "sub2/f"]),
            (
                &["path:./sub//", "rootfilesin:sub2/."],
                &["path:sub/./deep"],
                &["sub", "sub/f", "sub2/f"],
            ),
        ] {
            let filter = filter(include, exclude);
            let found: Vec<_> = all
                .iter()
                .filter(|p| filter.matches(p.as_bytes()))
                .collect();
            assert_eq!(
                found,
                expected.iter().collect::<Vec<_>>(),
                "{include:?} {exclude:?}"
            );
        }
        assert_eq!(PathPattern::parse(b"glob:*"), None);
    }
}
