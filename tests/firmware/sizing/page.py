"""The recorded figures, the goals, and the page that shows both."""
from pathlib import Path
from typing import NamedTuple

from sizing.areas import ORDER

HEADER = ["target", "opt", "program", "flash", "ram", "vectors", "stack", "panics", "instructions"]
# What the goals are for.
MAIN_TARGET = "thumbv7em-none-eabihf"
# Programs of the page, and what they are.
PAGE = {
    "wire": "frames echoed through the wire layer",
    "server-0005": "server, revision 0005, data streamed",
    "server-all": "server, all revisions, both data modes",
    "client-all": "client, all revisions",
    "both-all": "server and client, all revisions",
    "driver": "server and client through the blocking driver",
    "logged": "server and client, every event logged with defmt",
    "link-driver": "server, revision 0005, through the driver and the link",
}
# Programs whose instructions are counted: what one span of them is divided by, and what it is then.
COUNTED = {
    "request": (1, "a 24-byte request to its borrowed arguments"),
    "link-decode": (256, "a byte of a packet of the link"),
}
# More than this above what was recorded fails.
TOLERANCE = 0.02
# The same where another core was linked than when it was recorded: another Debian.
TOLERANCE_OF_OTHERS = 0.1
MARKS = ("<!-- sizes: written by tests/firmware/size --update -->", "<!-- end of sizes -->")


def number(text):
    return float(text.removeprefix(">=")) if text != "-" else None


class Goal(NamedTuple):
    """A figure of the page, and how large it may be."""

    what: str
    column: str
    program: str
    figure: float | None
    most: int

    def holds(self):
        return self.figure <= self.most

    def words(self):
        return f"{self.figure:g}", str(self.most), "holds" if self.holds() else "DOES NOT HOLD"


class Record:
    """What was measured, and how a file holds it: rows of the table, then lines of other figures."""

    def __init__(self, core=""):
        self.core = core
        self.rows = []
        self.memory = []   # (target, type, bytes)
        self.figures = []  # (program, what it told, figure), of the main target
        self.areas = []    # (program, area, bytes), of the main target
        self.ran = []      # (program, area, instructions), of the main target

    @classmethod
    def read(cls, path):
        found = cls()
        for line in Path(path).read_text().splitlines():
            words = line.split()
            if line.startswith("# core: "):
                found.core = line.removeprefix("# core: ")
            elif line.startswith("#") or words == HEADER:
                pass
            elif words[0] == "memory":
                found.memory.append((words[1], " ".join(words[3:]), words[2]))
            elif words[0] == "figure":
                found.figures.append((words[1], " ".join(words[3:]), words[2]))
            elif words[0] == "area":
                found.areas.append((words[1], " ".join(words[3:]), int(words[2])))
            elif words[0] == "ran":
                found.ran.append((words[1], " ".join(words[3:]), int(words[2])))
            else:
                found.rows.append(words)
        return found

    def text(self):
        return "".join([
            "# Bytes, by tests/firmware/size, which says what each column is and how this file is written.\n",
            f"# core: {self.core}\n{table(self.rows)}\n", *(f"{line}\n" for line in self.lines())])

    def lines(self):
        yield from (f"memory  {target}  {size}  {name}" for target, name, size in self.memory)
        yield from (f"figure  {program}  {figure}  {what}" for program, what, figure in self.figures)
        yield from (f"area  {program}  {size}  {area}" for program, area, size in self.areas)
        yield from (f"ran  {program}  {times}  {area}" for program, area, times in self.ran)

    def goals(self):
        """The goals, as far as what they need was measured."""
        cells = {(row[2], column): number(cell) for row in self.rows if row[0] == MAIN_TARGET and row[1] == "z"
                 for column, cell in zip(HEADER[3:], row[3:])}
        told = {program: float(figure) for program, _, figure in self.figures}
        cell = lambda program, column: cells.get((program, column))
        net = lambda program, column: None if None in (cell(program, column), cell("baseline", column)) \
            else cell(program, column) - cell("baseline", column)
        wanted = [
            *(Goal(f"flash, {PAGE[program]}", "flash", program, net(program, "flash"), most) for program, most in
              [("server-0005", 4352), ("server-all", 6400), ("both-all", 10240), ("link-driver", 8192), ("driver", 14336)]),
            Goal("panic symbols, server, revision 0005", "panics", "server-0005", cell("server-0005", "panics"), 0),
            *(Goal(f"stack, {PAGE[program]}", "stack", program, cell(program, "stack"), most) for program, most in
              [("server-0005", 512), ("both-all", 768)]),
            Goal("RAM, server, all revisions, 4 requests, 256 bytes of memory, 64 of input and 64 of output", "ram", "server-all",
                 net("server-all", "ram"), 660),
            Goal("instructions, 24-byte request to its arguments", "instructions", "request", cell("request", "instructions"), 900),
            Goal("receive buffer for a frame of 32 KiB, the smallest", "figure", "receive", told.get("receive"), 1),
            Goal("link at N = 256, overhead in percent of the payload", "figure", "link-decode", told.get("link-decode"), 5),
            Goal("link, instructions a byte of a packet", "instructions", "link-decode", cell("link-decode", "instructions"), 30),
        ]
        return [goal for goal in wanted if goal.figure is not None]

    def over(self):
        """(column, program) of the goals that do not hold."""
        return {(goal.column, goal.program) for goal in self.goals() if not goal.holds()}

    def compare(self, path, is_whole):
        """Says what changed since the figures were recorded; what grew too much, or is gone where all was measured."""
        then = Record.read(path)
        tolerance = TOLERANCE
        if then.core != self.core:
            tolerance = TOLERANCE_OF_OTHERS
            print(f"{path} was recorded with another core ({then.core}): {tolerance:.0%} more are let through")
        pairs = list(then.pairs(self))
        old = {tuple(row[:3]): row for row in then.rows}
        changes = [f"  {row[2]}, {row[0]}, opt-level {row[1]}: new" for row in self.rows if tuple(row[:3]) not in old]
        errors = []
        for what, was, now in pairs:
            if was == now or None in (number(was), number(now)):
                continue
            line = f"  {what} {was} -> {now} ({number(now) - number(was):+g})"
            changes.append(line)
            if number(now) > number(was) * (1 + tolerance):
                errors.append(f"{line}, over {tolerance:.0%}")
        if is_whole:
            measured, targets = {tuple(row[:3]) for row in self.rows}, {row[0] for row in self.rows}
            errors += [f"  {program}, {target}, opt-level {opt}: gone" for target, opt, program in old
                       if target in targets and (target, opt, program) not in measured]
        print(f"since {path}:", *(changes or ["  no change"]), sep="\n")
        if errors:
            errors.append(f"If that is right: tests/firmware/size --page --record {path}")
        return errors

    def pairs(self, now):
        """(what, figure then, figure now) of all that both have. Areas are not compared: they are for reading."""
        rows = {tuple(row[:3]): row for row in self.rows}
        for row in now.rows:
            before = rows.get(tuple(row[:3]), [])
            for column, new, old in zip(HEADER[3:], row[3:], before[3:]):
                yield f"{row[2]}, {row[0]}, opt-level {row[1]}: {column}", old, new
        sizes = {(target, name): size for target, name, size in self.memory}
        for target, name, size in now.memory:
            if (target, name) in sizes:
                yield f"{name}, {target}: bytes of memory", sizes[target, name], size
        figures = {(program, what): figure for program, what, figure in self.figures}
        for program, what, figure in now.figures:
            if (program, what) in figures:
                yield f"{program}: {what}", figures[program, what], figure

    def markdown(self):
        """The page."""
        return "\n".join([*self.sizes_part(), *self.counts_part(), *self.goals_part(), *self.areas_part(),
                          *self.memory_part()])

    def sizes_part(self):
        cells = {tuple(row[:3]): row for row in self.rows}
        targets = list(dict.fromkeys(row[0] for row in self.rows))
        yield from [
            "Bytes of flash (`.text`, `.rodata`, `.data`; without the vector table) and of RAM (without the stack), the worst "
            "case of the stack, and symbols of Rust's panic machinery.",
            f"Fat LTO, one codegen unit, `panic=abort`; `core` {self.core}. Every end has `FixedRequests<4>` with 256 bytes of memory. "
            "A framed echo without hgrpc is in all of them: the first row.",
            "WebAssembly: flash is code and data, RAM has the constants too. Its stack cannot be said: the frames of calls "
            "are made by the engine that compiles the module.", ""]
        rows = []
        for program, what in [("baseline", "framed echo, without hgrpc"), *PAGE.items()]:
            for target in targets:
                z, three = cells.get((target, "z", program)), cells.get((target, "3", program))
                if z:
                    cell = lambda row, column: row[HEADER.index(column)].replace(">=", "≥ ").replace("-", "–") if row else ""
                    panics = max(int(cell(row, "panics")) for row in (z, three) if row)
                    rows.append([what, target, cell(z, "flash"), cell(three, "flash"), cell(z, "ram"), cell(z, "stack"),
                                 cell(three, "stack"), panics])
        yield from lines_of(["program", "target", 'flash at "z"', "at 3", "RAM", 'stack at "z"', "at 3", "panics"], rows, 2)

    def counts_part(self):
        cells = {tuple(row[:3]): row[-1] for row in self.rows}
        rows = [[what, target, cells[target, "z", program], cells.get((target, "3", program), "").replace("-", "")]
                for program, (_, what) in COUNTED.items() for target in dict.fromkeys(row[0] for row in self.rows)
                if cells.get((target, "z", program), "-") != "-"]
        if rows:
            yield from ["", "Instructions, counted in the emulator (code for `thumbv6m` runs on a Cortex-M3):", ""]
            yield from lines_of(["for", "target", 'at "z"', "at 3"], rows, 2)

    def goals_part(self):
        yield from ["", f"Goals, for {MAIN_TARGET} at \"z\", flash and RAM net of the framed echo:", ""]
        rows = [[goal.what, *goal.words()] for goal in self.goals()]
        yield "| what | figure | goal | |\n| --- | ---: | ---: | --- |"
        yield from ("| " + " | ".join(map(str, row)) + " |" for row in rows)

    def areas_part(self):
        """Where the bytes, and the instructions, are of each program that is over its goal."""
        found = {(program, area): size for program, area, size in self.areas}
        names = list(dict.fromkeys(program for program, _, _ in self.areas if program != "baseline"))
        if names:
            yield from ["", "Where the bytes of flash are, net of the framed echo, by the innermost function of hgrpc's that an "
                        "instruction was inlined from (`tests/firmware/size --areas NAME`):", ""]
            yield from by_area(names, lambda name, area: found.get((name, area), 0) - found.get(("baseline", area), 0))
        ran = {(program, area): times for program, area, times in self.ran}
        names = list(dict.fromkeys(program for program, _, _ in self.ran))
        if names:
            yield from ["", "Where the instructions are that were counted:", ""]
            yield from by_area(names, lambda name, area: ran.get((name, area), 0))

    def memory_part(self):
        names = list(dict.fromkeys(name for _, name, _ in self.memory))
        if names:
            yield from ["", "Bytes of memory, the constant `SIZE` of each type with `FixedRequests<4>`, on a 32-bit device:", ""]
            sizes = {(target, name): size for target, name, size in self.memory}
            yield from lines_of(["type", "bytes"], [[f"`{name}`", sizes.get((MAIN_TARGET, name), "")] for name in names], 1)


def by_area(names, number_of):
    """A table of areas, those that somebody has, and their sums."""
    rows = [[area, *(number_of(name, area) for name in names)] for area in ORDER]
    rows = [row for row in rows if any(row[1:])]
    rows.append(["together", *(sum(row[k] for row in rows) for k in range(1, len(names) + 1))])
    return lines_of(["area", *(f"`{name}`" for name in names)], rows, 1)


def lines_of(head, rows, left):
    """A Markdown table; its first `left` columns are text."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * left + " ---: |" * (len(head) - left)
    yield from ("| " + " | ".join(map(str, row)) + " |" for row in rows)


def table(rows):
    width = [max(len(row[i]) for row in [HEADER, *rows]) for i in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, width)))
             for row in [HEADER, *rows]]
    return "\n".join(lines)


def update(path, pages):
    """Puts the page between the marks of files."""
    text = Record.read(path).markdown()
    for page in map(Path, pages):
        before = page.read_text()
        if any(before.count(mark) != 1 for mark in MARKS):
            raise SystemExit(f"size: {page} has not the two marks, once each:\n{MARKS[0]}\n{MARKS[1]}")
        head, rest = before.split(MARKS[0])
        _, tail = rest.split(MARKS[1])
        page.write_text(f"{head}{MARKS[0]}\n{text}\n{MARKS[1]}{tail}")
