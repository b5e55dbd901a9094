"""A linked program of one of the targets: sections, functions, calls, stack."""
import bisect, re, subprocess

MISSING_SYMBOL = "hgrpc_gate_a_panic_path_is_left"
HANDLER = "rust_begin_unwind"
PANIC = re.compile(r"core::panicking::|panic_fmt|rust_begin_unwind|begin_panic|unwrap_failed|expect_failed"
                   r"|slice_\w+_fail|len_mismatch_fail|" + MISSING_SYMBOL)


def run(*command, data=None):
    return subprocess.run([str(word) for word in command], capture_output=True, check=True, input=data).stdout


def is_library(name):
    """Whether a function is of `core` or `alloc`: no path in its name begins in another crate."""
    crates = re.findall(r"(?<![\w:>])([a-z_]\w*)::", name)
    return all(crate in ("core", "alloc") for crate in crates) and bool(crates or "::" in name)


def locations(begin, data):
    """`file:line:column` of each `core::panic::Location` in constants: pointer, length, line, column."""
    found = set()
    words = [int.from_bytes(data[i:i + 4], "little") for i in range(0, len(data) - 3, 4)]
    for pointer, length, line, column in zip(words, words[1:], words[2:], words[3:]):
        text = data[pointer - begin:pointer - begin + length] if begin <= pointer < begin + len(data) else b""
        if len(text) == length and text.endswith(b".rs") and text.isascii() and 0 < line < 100000:
            found.add(f"{text.decode()}:{line}:{column}")
    return sorted(found)


class Elf:
    """An ELF program, read with the binutils of its architecture."""

    PREFIX = ""  # of the tools' names

    def __init__(self, path):
        self.path = path
        self.sections = {}
        for line in self.tool("size", "-A", "-d", path).decode().splitlines():
            words = line.split()
            if len(words) == 3 and words[0].startswith("."):
                self.sections[words[0]] = int(words[1])
        self.names, self.defined = {}, []
        for line in self.tool("nm", "-C", "-n", path).decode().splitlines():
            match = re.match(r"([0-9a-f]{8}|\s{8}) (\S) (.*)", line)
            if match and not match[3].startswith(("$", ".L")):
                self.defined.append(match[3])
                if match[2] in "tTwW":
                    self.names.setdefault(int(match[1], 16) & ~1, match[3])
        self.starts = sorted(self.names)

    def tool(self, name, *arguments, data=None):
        return run(self.PREFIX + name, *arguments, data=data)

    def section(self, name):
        """A section's address and length."""
        text = self.tool("readelf", "-S", "-W", self.path).decode()
        match = re.search(rf"{re.escape(name)}\s+\S+\s+([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+)", text)
        return (int(match[1], 16), int(match[2], 16)) if match else (0, 0)

    def bytes(self, *names):
        return sum(self.sections.get(name, 0) for name in names)

    def flash(self):
        return self.bytes(".text", ".rodata", ".data", ".gnu.sgstubs")

    def ram(self):
        return self.bytes(".data", ".bss", ".uninit")

    def vectors(self):
        return self.bytes(".vector_table")

    def panics(self):
        return sorted({name for name in self.defined if PANIC.search(name)})

    def largest(self, count):
        """(bytes, name) of the largest functions and constants."""
        found = []
        for line in self.tool("nm", "-C", "-S", "--size-sort", "-r", self.path).decode().splitlines():
            match = re.match(r"[0-9a-f]+ ([0-9a-f]+) ([tTwWrRdD]) (.*)", line)
            if match and "__INTERRUPTS" not in match[3]:
                found.append((int(match[1], 16), match[3]))
        return found[:count]

    def memory(self):
        """Types' sizes as the program has them, and those that their constants get wrong.

        For each type there are two symbols, `HGRPC_OBJECT_n` and `HGRPC_CONSTANT_n`: an object of
        the type, and an array of as many bytes as its `SIZE` says. `FixedTable_4` is `FixedTable<4>`.
        """
        sizes = {}
        for line in self.tool("nm", "-S", self.path).decode().splitlines():
            if match := re.match(r"[0-9a-f]+ ([0-9a-f]+) \S HGRPC_(OBJECT|CONSTANT)_(\w+)$", line):
                sizes[match[2], match[3]] = int(match[1], 16)
        found, wrong = [], []
        for kind, key in sorted(sizes):
            if kind != "OBJECT":
                continue
            word, *parameters = key.split("_")
            name = f"{word}<{', '.join(parameters)}>" if parameters else word
            size, constant = sizes[kind, key], sizes.get(("CONSTANT", key))
            found.append((name, str(size)))
            if size != constant:
                wrong.append(f"{name}::SIZE is {constant}, but it takes {size} bytes")
        if not found:
            wrong.append("the program `memory` has no objects to measure")
        return found, wrong

    def section_bytes(self, name):
        done = subprocess.run([self.PREFIX + "objcopy", "--dump-section", f"{name}=/dev/stdout", self.path, "/dev/null"],
                              capture_output=True)
        return done.stdout if done.returncode == 0 else b""

    def frames(self):
        """Stack of each function by itself: .stack_sizes holds (address, ULEB128) pairs."""
        data, sizes, at = self.section_bytes(".stack_sizes"), {}, 0
        while at + 4 < len(data):
            address = int.from_bytes(data[at:at + 4], "little") & ~1
            at, value, shift = at + 4, 0, 0
            while True:
                byte, at = data[at], at + 1
                value |= (byte & 0x7f) << shift
                shift += 7
                if byte < 0x80:
                    break
            sizes[address] = max(value, sizes.get(address, 0))
        return sizes

    def worst_stack(self, root="main"):
        """(bytes, deepest path, doubts): the deepest path of calls from `root`."""
        self.walk()
        frames, memo, recursive, unknown = self.frames(), {}, set(), set()

        def own(function):
            if function not in frames:
                unknown.add(self.names[function])
            return frames.get(function, self.prologue.get(function, 0))

        def deepest(function, path):
            if function in path:
                recursive.add(self.names[function])
                return 0, ()
            if function not in memo:
                below = (deepest(to, path | {function}) for to in self.calls.get(function, ()))
                depth, route = max(below, default=(0, ()))
                memo[function] = own(function) + depth, (function, *route)
            return memo[function]

        start = next(a for a in self.starts if self.names[a] == root)
        depth, route = deepest(start, frozenset())
        route = [(frames.get(f, self.prologue.get(f, 0)), self.names[f]) for f in route]
        doubts = [f"recursion: {name}" for name in sorted(recursive)]
        doubts += [f"indirect call in: {self.names[f]}" for f in sorted(self.indirect & set(memo))]
        notes = [f"frame read off the prologue: {name}" for name in sorted(unknown)]
        return depth, route, doubts, notes

    def function_around(self, address):
        """Where the function begins that an address lies in."""
        k = bisect.bisect_right(self.starts, address)
        return self.starts[k - 1] if k else None

    def panic_callers(self):
        """Lines `caller -> panic function` where a program's own code enters the panic machinery."""
        self.walk()
        callers = {}
        for function, callees in self.calls.items():
            for callee in callees:
                callers.setdefault(callee, set()).add(function)
        queue = [a for a, name in self.names.items() if HANDLER in name or PANIC.search(name)]
        seen, lines = set(queue), set()
        while queue:
            callee = queue.pop()
            for caller in callers.get(callee, ()):
                name = self.names[caller]
                if is_library(name) or PANIC.search(name):
                    if caller not in seen:
                        seen.add(caller)
                        queue.append(caller)
                else:
                    lines.add(f"{name} -> {self.names[callee]}")
        return sorted(lines)

    def panic_locations(self):
        """`file:line:column` of each `core::panic::Location` in .rodata."""
        begin, _ = self.section(".rodata")
        return locations(begin, self.section_bytes(".rodata"))


class Arm(Elf):
    """For Thumb."""

    PREFIX = "arm-none-eabi-"

    def walk(self):
        """Reads the disassembly: who calls whom, who calls through a pointer, what prologues take.

        For size the compiler often loads a function's address once and calls it through the
        register. So a function whose address stands among another's constants counts as called by
        it, and a call through a register is indirect only if that register holds no such constant.
        """
        self.calls, self.indirect, self.prologue = {}, set(), {}
        lines, words = [], {}
        for line in self.tool("objdump", "-d", "--no-show-raw-insn", self.path).decode().splitlines():
            if match := re.match(r"\s*([0-9a-f]+):\t(\S+)\s*(.*)", line):
                lines.append((int(match[1], 16), match[2], match[3]))
                if match[2] == ".word":
                    words[lines[-1][0]] = int(match[3].split()[0], 16)
        last, current, held = "", None, {}
        for address, operation, operands in lines:
            if (function := self.function_around(address)) is None:
                continue
            if function != current:
                current, held = function, {}
            base = operation.removesuffix(".n").removesuffix(".w")
            register = re.match(r"(\w+)", operands)
            register = register[1] if register else ""
            if base == ".word":
                if (to := self.function_at(words[address])) is not None:
                    self.calls.setdefault(function, set()).add(to)
            elif base in ("bx", "blx") and not re.match(r"[0-9a-f]+ <", operands):
                # `pop {r1}; bx r1` is how a small core returns.
                if register != "lr" and not (base == "bx" and last == "pop") and register not in held:
                    self.indirect.add(function)
            elif re.match(r"(b|bl|blx|b[a-z]{2}|cbn?z)$", base) and (to := re.search(r"([0-9a-f]+) <", operands)):
                to = int(to[1], 16)
                if to in self.names and (to != function or base == "bl"):
                    self.calls.setdefault(function, set()).add(to)
            elif base == "ldr" and (at := re.search(r"@ \(?([0-9a-f]+)", operands)) and self.function_at(words.get(int(at[1], 16), 0)) is not None:
                held[register] = True
            elif base == "mov" and (source := re.match(r"\w+, (\w+)$", operands)) and source[1] in held:
                held[register] = True
            elif base not in ("cmp", "cmn", "tst", "teq", "push") and not base.startswith("st"):
                held.pop(register, None)
            taken = 0
            if base == "push" or (base == "stmdb" and operands.startswith("sp!")):
                taken = 4 * self.registers(operands)
            elif base in ("sub", "subw") and (number := re.match(r"sp,(?: sp,)? #(\d+)", operands)):
                taken = int(number[1])
            self.prologue[function] = self.prologue.get(function, 0) + taken
            last = base

    def function_at(self, value):
        """The function that a pointer with this value calls; Thumb's pointers are odd."""
        return value - 1 if value & 1 and value - 1 in self.names else None

    @staticmethod
    def registers(operands):
        number = {"sb": 9, "sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
        index = lambda r: number[r] if r in number else int(r[1:])
        count = 0
        for item in re.search(r"\{(.*)\}", operands)[1].split(","):
            ends = [index(r) for r in item.strip().split("-")]
            count += ends[-1] - ends[0] + 1
        return count


class RiscV(Elf):
    """For RISC-V."""

    PREFIX = "riscv64-unknown-elf-"

    def walk(self):
        """Reads the disassembly, see `Arm.walk`: who calls whom, who calls through a pointer, what
        prologues take.

        A call is `jal`, or `auipc` and `jalr`, of which objdump says where they lead. A jump through
        a register, in a function that refers to a table of addresses of its own, goes to one of them.
        """
        self.calls, self.indirect, self.prologue = {}, set(), {}
        jumps, tables = set(), set()
        current, held = None, set()
        for line in self.tool("objdump", "-d", "--no-show-raw-insn", self.path).decode().splitlines():
            match = re.match(r"\s*([0-9a-f]+):\t(\S+)\s*(.*)", line)
            if not match or (function := self.function_around(int(match[1], 16))) is None:
                continue
            operation, operands = match[2], match[3]
            if function != current:
                current, held = function, set()
            to = re.search(r"([0-9a-f]+) <", operands)
            to = int(to[1], 16) if to else None
            register = re.match(r"\w*", operands)[0]
            if operation in ("j", "jal", "jr", "jalr") and to is not None:
                if to in self.names and (to != function or operation.startswith("jal")):
                    self.calls.setdefault(function, set()).add(to)
            elif operation == "jalr" or (operation == "jr" and register != "t0"):
                # `jr t0` is how a function that the compiler's outliner made returns.
                through = re.search(r"\(?(\w+)\)?$", operands)[1]
                if through not in held:
                    (self.indirect if operation == "jalr" else jumps).add(function)
            elif operation.startswith("b"):
                if to in self.names and to != function:
                    self.calls.setdefault(function, set()).add(to)
            elif operation in ("add", "addi") and to in self.names:
                self.calls.setdefault(function, set()).add(to)
                held.add(register)
            elif operation == "mv" and operands.split(",")[1] in held:
                held.add(register)
            elif operation not in ("sw", "sh", "sb"):
                held.discard(register)
            if to is not None and (word := self.word(to)) is not None and self.function_around(word) == function != word:
                tables.add(function)
            if operation in ("add", "addi") and (number := re.match(r"sp,sp,-(\d+)", operands)):
                self.prologue[function] = self.prologue.get(function, 0) + int(number[1])
        self.indirect |= jumps - tables

    def word(self, address):
        """A word of `.rodata`."""
        if not hasattr(self, "constants"):
            self.constants = (self.section(".rodata")[0], self.section_bytes(".rodata"))
        begin, data = self.constants
        at = address - begin
        return int.from_bytes(data[at:at + 4], "little") if 0 <= at <= len(data) - 4 else None
