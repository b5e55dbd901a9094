"""Where a program's bytes are: its instructions by the source that they come from."""
import re
from pathlib import Path

ROOT = f"{Path(__file__).resolve().parents[3]}/"
SHARED = "what all share"
PROGRAM = "the program"
LIBRARY = "start-up code, memcpy and the like"
CONSTANTS = "constants and initial values"
# Areas by the file of the core that the innermost inlined function of it stands in, first match.
AREAS = [
    ("CBOR", r"^core/src/cbor/"),
    ("store", r"^core/src/(next/)?store/"),
    ("link", r"^core/src/link/"),
    ("driver", r"^core/src/(io/|next/(connection|drive)/)"),
    ("answering and output", r"^core/src/(server/(answer|output|writer|text|responder)|client/(call|queue)|wire/emit|next/(output|server/(respond|value|failure|note)|client/send))"),
    ("receiving", r"^core/src/((next/)?(server|client)/|streams|wire/reader|next/incoming)"),
    # What everyone uses: bytes are its caller's, if that has an area.
    (SHARED, r"^core/src/"),
    (PROGRAM, r"^tests/firmware/gate/src/"),
]
ORDER = ["receiving", "CBOR", "answering and output", "store", "link", "driver", SHARED, PROGRAM, LIBRARY, CONSTANTS]


def area_of(files):
    """The area of an instruction, from the files of its inlined functions, the innermost first."""
    found = None
    for file in files:
        name = next((name for name, pattern in AREAS if re.search(pattern, file.removeprefix(ROOT))), None)
        if name == PROGRAM and found:
            break  # shared code of the core, in the program
        if name and name != SHARED:
            return name
        found = found or name
    return found or LIBRARY


def pieces(image):
    """(address, bytes, area) of each instruction."""
    code = []
    for line in image.tool("objdump", "-d", "--no-show-raw-insn", image.path).decode().splitlines():
        if match := re.match(r"\s*([0-9a-f]+):\t", line):
            code.append(int(match[1], 16))
    begin, length = image.section(".text")
    code = [address for address in code if begin <= address < begin + length]
    asked = "".join(f"{address:x}\n" for address in code)
    said = image.tool("addr2line", "-a", "-i", "-e", image.path, data=asked.encode()).decode()
    chains = [[line.rsplit(":", 1)[0] for line in part.splitlines()[1:]] for part in re.split(r"^(?=0x)", said, flags=re.M) if part]
    # Up to the next instruction: padding is of the function before it.
    ends = [*code[1:], begin + length]
    return [(address, end - address, area_of(chain)) for address, end, chain in zip(code, ends, chains, strict=True)]


def areas(image):
    """Bytes of flash by area; their sum is all of it."""
    found = {}
    for _, size, area in pieces(image):
        found[area] = found.get(area, 0) + size
    found[CONSTANTS] = image.flash() - sum(found.values())
    return in_order(found)


def instructions_by_area(image, executed):
    """Instructions that ran, by area, from how often each address was executed."""
    found = {}
    for address, _, area in pieces(image):
        if address in executed:
            found[area] = found.get(area, 0) + executed[address]
    return in_order(found)


def in_order(found):
    return {area: found[area] for area in ORDER if found.get(area)}
