"""A linked WebAssembly module."""
from sizing.image import PANIC, Arm, run

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

    def part(self):
        """As many bytes as a number before them says."""
        length = self.number()
        self.at += length
        return Bytes(self.data[self.at - length:self.at])

    def text(self):
        return self.part().data.decode()


class Web:
    """What `Elf` is for other targets. How deep its calls go nobody can say from here: their frames
    are the engine's, who compiles the module."""

    PREFIX = Arm.PREFIX  # of the demangler

    def __init__(self, path):
        self.path, self.sizes, self.globals, self.exports, names = path, {}, [], {}, []
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
                    if section.data[section.at + 2] != I32_CONST:
                        raise ValueError(f"{path}: a global that is no constant")
                    section.at += 3
                    self.globals.append(section.number())
                    section.at += 1
            elif kind == EXPORT:
                for _ in range(section.number()):
                    name, _, index = section.text(), section.byte(), section.number()
                    self.exports[name] = index
        self.defined = run(f"{self.PREFIX}c++filt", data="\n".join(names).encode()).decode().splitlines()

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

    # A program that does not link is explained by its names alone.
    def panic_callers(self):
        return []

    def panic_locations(self):
        return []

    def largest(self, _):
        return []
