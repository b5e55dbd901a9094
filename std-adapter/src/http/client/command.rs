//! A command that is to be called.

use crate::http::{Capabilities, CommandInfo};
use crate::value::Value;

use super::Error;

/// A command that is to be called: its name, its arguments, its data.
///
/// Mercurial's servers take what revision-0006.md, 9.1 lists and nothing else: byte strings where
/// one might think of text, and neither text strings nor floats.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a command does nothing until it is called"]
pub struct Command {
    pub(super) name: String,
    pub(super) args: Vec<(String, Value)>,
    pub(super) data: Option<Vec<u8>>,
}

impl Command {
    /// A command without arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            args: Vec::new(),
            data: None,
        }
    }

    /// The same with one more argument. An argument that is given again replaces the first.
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let name = name.into();
        self.args.retain(|(other, _)| *other != name);
        self.args.push((name, value.into()));
        self
    }

    /// The same with one more argument, a byte string.
    pub fn bytes(self, name: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        self.arg(name, Value::Bytes(value.as_ref().to_vec()))
    }

    /// The same with data. No command of Mercurial's takes any.
    pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// The command's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares with the descriptor (http-v2.md, 4).
    pub(super) fn check<'c>(
        &self,
        capabilities: &'c Capabilities,
    ) -> Result<&'c CommandInfo, Error> {
        let Some(info) = capabilities.commands.get(&self.name) else {
            return Err(Error::UnknownCommand(self.name.clone()));
        };
        let given = |name: &String| self.args.iter().any(|(other, _)| other == name);
        let mut names: Vec<String> = self
            .args
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !info.args.contains_key(name))
            .collect();
        let command = self.name.clone();
        if !names.is_empty() {
            names.sort();
            return Err(Error::UnknownArguments { command, names });
        }
        let names: Vec<String> = info
            .args
            .iter()
            .filter(|(name, arg)| arg.is_required && !given(name))
            .map(|(name, _)| name.clone())
            .collect();
        if !names.is_empty() {
            return Err(Error::MissingArguments { command, names });
        }
        Ok(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{ArgInfo, ArgType};

    #[test]
    fn what_the_descriptor_lacks_is_refused() {
        let info = CommandInfo::pull()
            .arg("nodes", ArgInfo::required(ArgType::List))
            .arg("tree", ArgInfo::required(ArgType::Bytes))
            .arg("fields", ArgInfo::default());
        let capabilities = Capabilities::new([("manifestdata", info)]);
        let command = Command::new("manifestdata");
        let check = |command: &Command| command.check(&capabilities).map(|_| ());
        assert!(matches!(
            check(&command),
            Err(Error::MissingArguments { names, .. }) if names == ["nodes", "tree"]
        ));
        let command = command.bytes("tree", "").arg("nodes", Value::Array(vec![]));
        assert!(check(&command).is_ok());
        assert!(matches!(
            check(&command.clone().bytes("z", "").bytes("a", "")),
            Err(Error::UnknownArguments { names, .. }) if names == ["a", "z"]
        ));
        assert!(matches!(
            check(&Command::new("heads")),
            Err(Error::UnknownCommand(name)) if name == "heads"
        ));
    }
}
