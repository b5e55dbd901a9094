//! What a server can do: the API's descriptor (http-v2.md, 5.2).

use std::collections::BTreeMap;
use std::fmt;

use crate::value::Value;

/// The descriptor of an API: its commands and what else the server says of itself.
///
/// A client reads it from the handshake; a server is given one to announce and to check requests
/// against.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The commands by name.
    pub commands: BTreeMap<String, CommandInfo>,
    /// Media types of frames that the server takes.
    pub framing_media_types: Vec<String>,
    /// How patterns of path filters may begin; empty if the server did not say.
    pub path_filter_prefixes: Vec<String>,
    /// Storage requirements of the repository.
    pub raw_repo_formats: Vec<String>,
    /// Where responses may be redirected to.
    pub redirect: Option<RedirectInfo>,
    /// Whatever else there is.
    pub extra: BTreeMap<String, Value>,
}

/// A command as the descriptor has it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandInfo {
    /// The arguments by name.
    pub args: BTreeMap<String, ArgInfo>,
    /// What the caller must be allowed to do: `pull` or `push`.
    pub permissions: Vec<String>,
    /// Whatever else there is, such as `recommendedbatchsize`.
    pub extra: BTreeMap<String, Value>,
}

/// An argument as the descriptor has it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ArgInfo {
    /// Its type, if the server says one.
    pub kind: Option<ArgType>,
    /// Whether every call must have it.
    pub is_required: bool,
    /// What stands for it where it is left out; absent for required ones.
    pub default: Option<Value>,
    /// The values that it, or the members of it, may have.
    pub valid_values: Option<Vec<Value>>,
}

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArgType {
    /// A byte string.
    Bytes,
    /// An integer.
    Int,
    /// An array.
    List,
    /// A map.
    Dict,
    /// A set, or an array in its stead.
    Set,
    /// `true` or `false`.
    Bool,
    /// A type that is not known here.
    Other(String),
}

/// Where responses may be redirected to, and how they may be checked.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RedirectInfo {
    /// The places, in the server's order.
    pub targets: Vec<RedirectTarget>,
    /// Names of hashes, in the server's order.
    pub hashes: Vec<String>,
}

/// A place that responses may be redirected to.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RedirectTarget {
    /// The name by which requests speak of it.
    pub name: String,
    /// `http` or `https`, or what is not known here.
    pub protocol: String,
    /// What its addresses begin with.
    pub uris: Vec<String>,
    /// Whether its TLS needs the server's name in the handshake.
    pub needs_sni: bool,
    /// The versions of TLS that it takes; `None` if not said.
    pub tls_versions: Option<Vec<String>>,
}

/// What is wrong with a descriptor: the key, from the outermost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilitiesError {
    /// The keys that lead to the value at fault.
    pub path: Vec<String>,
    /// What the value should be.
    pub expected: &'static str,
}

impl fmt::Display for CapabilitiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the descriptor's {} is not {}",
            self.path.join("/").escape_debug(),
            self.expected
        )
    }
}

impl std::error::Error for CapabilitiesError {}

type Result<T> = std::result::Result<T, CapabilitiesError>;

fn wrong<T>(expected: &'static str) -> Result<T> {
    Err(CapabilitiesError {
        path: Vec::new(),
        expected,
    })
}

/// Says which key an error is about.
fn within<T>(key: &str, result: Result<T>) -> Result<T> {
    result.map_err(|mut error| {
        error.path.insert(0, key.to_owned());
        error
    })
}

fn text(value: &Value) -> Result<String> {
    match value {
        Value::Bytes(bytes) => String::from_utf8(bytes.clone()).or(wrong("UTF-8")),
        Value::Text(text) => Ok(text.clone()),
        _ => wrong("a byte string"),
    }
}

fn items(value: &Value) -> Result<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        _ => wrong("an array"),
    }
}

fn texts(value: &Value) -> Result<Vec<String>> {
    items(value)?.iter().map(text).collect()
}

fn flag(value: &Value) -> Result<bool> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        _ => wrong("true or false"),
    }
}

/// A map with the last of repeated keys.
fn map(value: &Value) -> Result<BTreeMap<String, Value>> {
    let Value::Map(entries) = value else {
        return wrong("a map");
    };
    entries
        .iter()
        .map(|(key, value)| Ok((text(key)?, value.clone())))
        .collect()
}

/// Reads a field of a map, which goes out of it.
fn take<T>(
    fields: &mut BTreeMap<String, Value>,
    key: &str,
    read: impl FnOnce(&Value) -> Result<T>,
) -> Result<Option<T>> {
    fields
        .remove(key)
        .map(|value| within(key, read(&value)))
        .transpose()
}

/// Maps whose values are all read in the same way.
fn each<T>(value: &Value, read: impl Fn(&Value) -> Result<T>) -> Result<BTreeMap<String, T>> {
    map(value)?
        .into_iter()
        .map(|(key, value)| {
            let read = within(&key, read(&value))?;
            Ok((key, read))
        })
        .collect()
}

impl Capabilities {
    /// A descriptor with these commands, and the media type of frames.
    pub fn new<N: Into<String>>(commands: impl IntoIterator<Item = (N, CommandInfo)>) -> Self {
        Self {
            commands: commands
                .into_iter()
                .map(|(name, info)| (name.into(), info))
                .collect(),
            framing_media_types: vec![super::FRAMING_MEDIA_TYPE.to_owned()],
            ..Self::default()
        }
    }

    /// The command of this name.
    pub fn command(&self, name: &[u8]) -> Option<&CommandInfo> {
        self.commands.get(std::str::from_utf8(name).ok()?)
    }

    /// Reads a descriptor. Only `commands` must be there; unknown keys go to `extra`.
    ///
    /// # Errors
    /// Which value is not what it should be.
    pub fn from_value(value: &Value) -> Result<Self> {
        let mut fields = map(value)?;
        let commands = take(&mut fields, "commands", |v| {
            each(v, CommandInfo::from_value)
        })?;
        let Some(commands) = commands else {
            return within("commands", wrong("there"));
        };
        Ok(Self {
            commands,
            framing_media_types: take(&mut fields, "framingmediatypes", texts)?.unwrap_or_default(),
            path_filter_prefixes: take(&mut fields, "pathfilterprefixes", texts)?
                .unwrap_or_default(),
            raw_repo_formats: take(&mut fields, "rawrepoformats", texts)?.unwrap_or_default(),
            redirect: take(&mut fields, "redirect", RedirectInfo::from_value)?,
            extra: fields,
        })
    }

    /// The descriptor as it goes on the wire.
    pub fn to_value(&self) -> Value {
        let commands = self
            .commands
            .iter()
            .map(|(name, command)| (name.as_str(), command.to_value()));
        let mut fields = vec![("commands", Value::object(commands))];
        fields.push(("framingmediatypes", array(&self.framing_media_types)));
        if !self.path_filter_prefixes.is_empty() {
            let prefixes = self.path_filter_prefixes.iter().map(|s| bytes(s));
            fields.push(("pathfilterprefixes", Value::Set(prefixes.collect())));
        }
        if !self.raw_repo_formats.is_empty() {
            fields.push(("rawrepoformats", array(&self.raw_repo_formats)));
        }
        if let Some(redirect) = &self.redirect {
            fields.push(("redirect", redirect.to_value()));
        }
        Value::object(fields.into_iter().chain(borrowed(&self.extra)))
    }
}

impl CommandInfo {
    /// A command that reads: callers need the permission `pull`.
    pub fn pull() -> Self {
        Self::with_permission("pull")
    }

    /// A command that writes: callers need the permission `push`.
    pub fn push() -> Self {
        Self::with_permission("push")
    }

    fn with_permission(permission: &str) -> Self {
        Self {
            permissions: vec![permission.to_owned()],
            ..Self::default()
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, name: impl Into<String>, info: ArgInfo) -> Self {
        self.args.insert(name.into(), info);
        self
    }

    /// The same with one more key of its map, such as `recommendedbatchsize`.
    #[must_use]
    pub fn extra(mut self, key: impl Into<String>, value: Value) -> Self {
        self.extra.insert(key.into(), value);
        self
    }

    /// Whether callers need the permission `push`.
    pub fn is_push(&self) -> bool {
        self.permissions.iter().any(|name| name == "push")
    }

    fn from_value(value: &Value) -> Result<Self> {
        let mut fields = map(value)?;
        Ok(Self {
            args: take(&mut fields, "args", |v| each(v, ArgInfo::from_value))?.unwrap_or_default(),
            permissions: take(&mut fields, "permissions", texts)?.unwrap_or_default(),
            extra: fields,
        })
    }

    fn to_value(&self) -> Value {
        let args = self
            .args
            .iter()
            .map(|(name, arg)| (name.as_str(), arg.to_value()));
        let fields = [
            ("args", Value::object(args)),
            ("permissions", array(&self.permissions)),
        ];
        Value::object(fields.into_iter().chain(borrowed(&self.extra)))
    }
}

impl ArgInfo {
    /// An argument that every call must have.
    pub fn required(kind: ArgType) -> Self {
        Self {
            kind: Some(kind),
            is_required: true,
            ..Self::default()
        }
    }

    /// An argument that may be left out, and what stands for it then.
    pub fn optional(kind: ArgType, default: Value) -> Self {
        Self {
            kind: Some(kind),
            default: Some(default),
            ..Self::default()
        }
    }

    /// The same with the values that it, or its members, may have. They are announced, not
    /// enforced (http-v2.md, 3.1).
    #[must_use]
    pub fn valid_values(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        self.valid_values = Some(values.into_iter().collect());
        self
    }

    fn from_value(value: &Value) -> Result<Self> {
        let mut fields = map(value)?;
        Ok(Self {
            kind: take(&mut fields, "type", text)?.map(|name| ArgType::from_name(&name)),
            is_required: take(&mut fields, "required", flag)?.unwrap_or(false),
            default: fields.remove("default"),
            valid_values: take(&mut fields, "validvalues", |v| Ok(items(v)?.to_vec()))?,
        })
    }

    fn to_value(&self) -> Value {
        let mut fields = vec![("required", Value::Bool(self.is_required))];
        if let Some(kind) = &self.kind {
            fields.push(("type", bytes(kind.name())));
        }
        if let Some(default) = &self.default {
            fields.push(("default", default.clone()));
        }
        if let Some(values) = &self.valid_values {
            fields.push(("validvalues", Value::Set(values.clone())));
        }
        Value::object(fields)
    }
}

impl ArgType {
    /// The type's name in descriptors.
    pub fn name(&self) -> &str {
        match self {
            Self::Bytes => "bytes",
            Self::Int => "int",
            Self::List => "list",
            Self::Dict => "dict",
            Self::Set => "set",
            Self::Bool => "bool",
            Self::Other(name) => name,
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Self {
        match name {
            "bytes" => Self::Bytes,
            "int" => Self::Int,
            "list" => Self::List,
            "dict" => Self::Dict,
            "set" => Self::Set,
            "bool" => Self::Bool,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl RedirectInfo {
    fn from_value(value: &Value) -> Result<Self> {
        let mut fields = map(value)?;
        let targets = take(&mut fields, "targets", |v| {
            items(v)?.iter().map(RedirectTarget::from_value).collect()
        })?;
        Ok(Self {
            targets: targets.unwrap_or_default(),
            hashes: take(&mut fields, "hashes", texts)?.unwrap_or_default(),
        })
    }

    fn to_value(&self) -> Value {
        let targets = self.targets.iter().map(RedirectTarget::to_value).collect();
        Value::object([
            ("hashes", array(&self.hashes)),
            ("targets", Value::Array(targets)),
        ])
    }
}

impl RedirectTarget {
    fn from_value(value: &Value) -> Result<Self> {
        let mut fields = map(value)?;
        Ok(Self {
            name: take(&mut fields, "name", text)?.unwrap_or_default(),
            protocol: take(&mut fields, "protocol", text)?.unwrap_or_default(),
            uris: take(&mut fields, "uris", texts)?.unwrap_or_default(),
            needs_sni: take(&mut fields, "snirequired", flag)?.unwrap_or(false),
            tls_versions: take(&mut fields, "tlsversions", texts)?,
        })
    }

    fn to_value(&self) -> Value {
        let mut fields = vec![
            ("name", bytes(&self.name)),
            ("protocol", bytes(&self.protocol)),
            ("uris", array(&self.uris)),
        ];
        if self.needs_sni {
            fields.push(("snirequired", Value::Bool(true)));
        }
        if let Some(versions) = &self.tls_versions {
            fields.push(("tlsversions", array(versions)));
        }
        Value::object(fields)
    }
}

fn bytes(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

fn array(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| bytes(text)).collect())
}

fn borrowed(map: &BTreeMap<String, Value>) -> impl Iterator<Item = (&str, Value)> {
    map.iter().map(|(key, value)| (key.as_str(), value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut capabilities = Capabilities::new([(
            "filedata",
            CommandInfo::pull()
                .arg("path", ArgInfo::required(ArgType::Bytes))
                .arg(
                    "fields",
                    ArgInfo::optional(ArgType::Set, Value::Set(vec![]))
                        .valid_values([bytes("parents")]),
                )
                .extra("recommendedbatchsize", Value::from(7u64)),
        )]);
        capabilities.path_filter_prefixes = vec!["path:".into()];
        capabilities.raw_repo_formats = vec!["store".into()];
        capabilities.redirect = Some(RedirectInfo {
            targets: vec![RedirectTarget {
                name: "cdn".into(),
                protocol: "https".into(),
                uris: vec!["https://cdn/".into()],
                needs_sni: true,
                tls_versions: Some(vec!["1.2".into()]),
            }],
            hashes: vec!["sha256".into()],
        });
        capabilities.extra.insert("more".into(), Value::Null);
        let again = Capabilities::from_value(&capabilities.to_value());
        assert_eq!(again, Ok(capabilities));
    }

    #[test]
    fn little_is_needed() {
        let commands = Value::object([("heads", Value::object([]))]);
        let read = Capabilities::from_value(&Value::object([("commands", commands)])).unwrap();
        assert_eq!(read.command(b"heads"), Some(&CommandInfo::default()));
        assert!(!read.commands["heads"].is_push());
    }

    #[test]
    fn errors_say_where() {
        let arg = Value::object([("path", Value::object([("required", Value::Null)]))]);
        let commands = Value::object([("filedata", Value::object([("args", arg)]))]);
        let error = Capabilities::from_value(&Value::object([("commands", commands)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the descriptor's commands/filedata/args/path/required is not true or false"
        );
        let error = Capabilities::from_value(&Value::object([])).unwrap_err();
        assert_eq!(error.to_string(), "the descriptor's commands is not there");
        assert!(Capabilities::from_value(&Value::Null).is_err());
    }
}
