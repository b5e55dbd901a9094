"""A linked WebAssembly module."""
import re

from sizing.image import PANIC, Arm, locations, run

CUSTOM, IMPORT, GLOBAL, EXPORT, CODE, DATA = 0, 2, 6, 7, 10, 11
FUNCTION_NAMES = 1
I32_CONST = 0x41


class Bytes:
    """A part of a module, read from its beginning."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def __bool__(self):
        return self.at < len(self.data)

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def number(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value

    def constant(self):
        """The value of an expression that is a constant."""
        if self.byte() != I32_CONST:
            raise ValueError("an expression that is no constant")
        value = self.number()
        self.byte()  # its end
        return value

    def part(self):
        """As many bytes as a number before them says."""
        length = self.number()
        self.at += length
        return Bytes(self.data[self.at - length:self.at])

    def text(self):
        return self.part().data.decode()


class Web:
    """What `Elf` is for other targets. How deep its calls go nobody can say from here: their frames
    are the engine's, who compiles the module. Calls are not read: of a panic its name and place are known."""

    PREFIX = Arm.PREFIX  # of the demangler

    def __init__(self, path):
        self.path, self.sizes, self.globals, self.exports, names = path, {}, [], {}, []
        self.begin, self.data = None, b""
        module = Bytes(path.read_bytes())
        module.at = len(b"\0asm") + 4
        while module:
            kind, section = module.byte(), module.part()
            self.sizes[kind] = len(section.data)
            if kind == CUSTOM and section.text() == "name":
                while section:
                    kind, part = section.byte(), section.part()
                    for _ in range(part.number() if kind == FUNCTION_NAMES else 0):
                        part.number()
                        names.append(part.text())
            elif kind == IMPORT:
                # Functions: the programs import nothing else, and those only if they can panic.
                for _ in range(section.number()):
                    names += [section.text(), section.text()]
                    section.byte(), section.number()
            elif kind == GLOBAL:
                for _ in range(section.number()):
                    section.byte(), section.byte()
                    self.globals.append(section.constant())
            elif kind == EXPORT:
                for _ in range(section.number()):
                    name, _, index = section.text(), section.byte(), section.number()
                    self.exports[name] = index
            elif kind == DATA:
                # One after the other in memory, with gaps.
                for _ in range(section.number()):
                    section.byte()
                    begin, part = section.constant(), section.part()
                    self.begin = begin if self.begin is None else self.begin
                    self.data = self.data.ljust(begin - self.begin, b"\0") + part.data
        named = run(f"{self.PREFIX}c++filt", data="\n".join(names).encode()).decode()
        # Without the hashes of crates.
        self.defined = re.sub(r"\[[0-9a-f]+\]", "", named).splitlines()

    def flash(self):
        """Code, and what memory starts with."""
        return self.sizes.get(CODE, 0) + self.sizes.get(DATA, 0)

    def ram(self):
        """Statics and constants: what lies above the stack, which is at the bottom of memory."""
        stack_top = self.globals[0]
        return self.globals[self.exports["__data_end"]] - stack_top

    def vectors(self):
        return 0

    def worst_stack(self):
        return None, [], [], []

    def panics(self):
        return sorted({name for name in self.defined if PANIC.search(name)})

    def panic_callers(self):
        return []

    def panic_locations(self):
        return locations(self.begin, self.data) if self.data else []

    def largest(self, _):
        return []
