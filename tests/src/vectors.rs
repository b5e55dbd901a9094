//! Reading vector files.

use std::fs;
use std::path::{Path, PathBuf};

use hgrpc::Revision;
use serde_json::Value;

/// A file of cases of one kind, for one revision.
#[derive(Clone, Debug)]
pub struct VectorFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The revision of all its cases.
    pub revision: Revision,
    /// What its cases are.
    pub kind: Kind,
    /// The cases.
    pub cases: Vec<Value>,
}

/// What a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A frame's header.
    Header,
    /// A whole frame.
    Frame,
    /// A human frame string.
    Human,
    /// What a fresh stream sends.
    Encode,
    /// Steps of one server.
    Server,
    /// Steps of one client.
    Client,
    /// A captured exchange over HTTP.
    Exchange,
}

impl Kind {
    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "header" => Self::Header,
            "frame" => Self::Frame,
            "human" => Self::Human,
            "encode" => Self::Encode,
            "server" => Self::Server,
            "client" => Self::Client,
            _ => return None,
        })
    }
}

/// Reads every `.json` file in a folder and the folders in it, in the order of their paths.
///
/// # Errors
/// What could not be read, and why; also if there is no case at all.
pub fn load(folder: &Path) -> Result<Vec<VectorFile>, String> {
    let mut paths = Vec::new();
    find(folder, &mut paths).map_err(|error| format!("{}: {error}", folder.display()))?;
    paths.sort();
    let files = paths
        .into_iter()
        .map(|path| read(&path).map_err(|error| format!("{}: {error}", path.display())))
        .collect::<Result<Vec<_>, _>>()?;
    if files.iter().all(|file| file.cases.is_empty()) {
        return Err(format!("{}: no cases", folder.display()));
    }
    Ok(files)
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, paths)?;
        } else if path.extension().is_some_and(|e| e == "json") {
            paths.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<VectorFile, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let file: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let Value::Object(mut file) = file else {
        return Err("not an object".into());
    };
    match file.remove("schema") {
        Some(Value::Number(n)) if n.as_u64() == Some(1) => {}
        Some(Value::String(name)) if name == "captured-exchange/1" => {
            return captured(path, file);
        }
        other => return Err(format!("unknown schema {other:?}")),
    }
    let mut text = |name| match file.remove(name) {
        Some(Value::String(text)) => Ok(text),
        other => Err(format!("`{name}` is {other:?}")),
    };
    let revision = text("revision")?;
    let kind = text("kind")?;
    let revision =
        Revision::from_name(&revision).ok_or_else(|| format!("unknown revision {revision:?}"))?;
    let kind = Kind::from_name(&kind).ok_or_else(|| format!("unknown kind {kind:?}"))?;
    let Some(Value::Array(cases)) = file.remove("cases") else {
        return Err("`cases` is not an array".into());
    };
    if let Some(name) = file.keys().next() {
        return Err(format!("unknown field {name:?}"));
    }
    Ok(VectorFile {
        path: path.to_owned(),
        revision,
        kind,
        cases,
    })
}

/// A file of captured exchanges.
fn captured(path: &Path, mut file: serde_json::Map<String, Value>) -> Result<VectorFile, String> {
    let Some(Value::Array(cases)) = file.remove("exchanges") else {
        return Err("`exchanges` is not an array".into());
    };
    file.remove("group");
    if let Some(name) = file.keys().next() {
        return Err(format!("unknown field {name:?}"));
    }
    Ok(VectorFile {
        path: path.to_owned(),
        revision: Revision::R0006,
        kind: Kind::Exchange,
        cases,
    })
}
