#!/usr/bin/env python3
"""sass_check.py - which machine instructions the kernels in built files have.

  sass_check.py [--arch 75,80,...] [--expect REGEX=OPS]... FILE...

FILEs are objects, libraries or cubins: every ELF image for a GPU that is found in one is read (nvcc
compresses PTX, but no ELF image, unless told to). Prints a line for each kernel and fails where

  - a kernel has other instructions of those below than OPS of the first --expect whose REGEX is
    found in its name says (comma-separated, may be empty; one with a ? may be there or not; none
    where no REGEX is found),
  - an --expect is found in no kernel of an architecture,
  - there is no image for an architecture of --arch, or no image at all.

  IMMA, HMMA   int8 and fp16 products of matrices
  IDP          dot products of four int8 (dp4a)
  LOCAL        local memory: spilled registers, or arrays with an index that varies

The opcode is the low 12 bits of an instruction of 16 bytes: the same from sm_75 to sm_90.
"""
import argparse
import re
import struct
import sys

EM_CUDA = 190
OPCODES = {0x237: "IMMA", 0x23C: "HMMA", 0x226: "IDP",
           0x387: "LOCAL", 0x987: "LOCAL", 0x383: "LOCAL", 0x983: "LOCAL"}


def images(data):
    """The ELF images for GPUs in `data`."""
    at = data.find(b"\x7fELF\x02\x01")
    while at >= 0:
        header = data[at:at + 64]
        if len(header) == 64 and struct.unpack_from("<H", header, 18)[0] == EM_CUDA:
            yield data[at:]
        at = data.find(b"\x7fELF\x02\x01", at + 1)


def kernels(image):
    """(name, names of the instructions of OPCODES with their counts) of each function."""
    offset, = struct.unpack_from("<Q", image, 40)
    size, count, names_at = struct.unpack_from("<HHH", image, 58)
    sections = [struct.unpack_from("<IIQQQQ", image, offset + i * size) for i in range(count)]
    names = sections[names_at][4]
    for section in sections:
        name = image[names + section[0]:image.index(b"\0", names + section[0])].decode()
        if not name.startswith(".text."):
            continue
        found = {}
        for at in range(section[4], section[4] + section[5], 16):
            opcode = OPCODES.get(struct.unpack_from("<H", image, at)[0] & 0xFFF)
            if opcode is not None:
                found[opcode] = found.get(opcode, 0) + 1
        yield name[len(".text."):], found


def architecture(image):
    """75 for sm_75, ..."""
    return struct.unpack_from("<I", image, 48)[0] >> 8 & 0xFF


def check(files, arches, expectations):
    """Prints what there is; returns the sentences that say what is wrong."""
    wrong, seen, met = [], set(), set()
    for file in files:
        with open(file, "rb") as opened:
            data = opened.read()
        for image in images(data):
            arch = architecture(image)
            seen.add(arch)
            for name, found in kernels(image):
                counts = ", ".join(f"{n} {op}" for op, n in sorted(found.items())) or "-"
                print(f"sm_{arch} {name}: {counts}")
                required, allowed = set(), set()
                for regex, ops in expectations:
                    if re.search(regex, name):
                        required = {op for op in ops if not op.endswith("?")}
                        allowed = {op.rstrip("?") for op in ops}
                        met.add((arch, regex))
                        break
                for op in sorted(required - set(found)):
                    wrong.append(f"sm_{arch} {name} has no {op}")
                for op in sorted(set(found) - allowed):
                    wrong.append(f"sm_{arch} {name} has {op}, which nobody expects")
    for arch in arches or seen or [0]:
        if arch not in seen:
            wrong.append(f"no image for sm_{arch}" if arch else "no image for a GPU")
            continue
        for regex, _ in expectations:
            if (arch, regex) not in met:
                wrong.append(f"sm_{arch} has no kernel {regex}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--arch", default="", help="comma-separated, e.g. 75,90")
    parser.add_argument("--expect", action="append", default=[], metavar="REGEX=OPS")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args()
    expectations = []
    for text in args.expect:
        regex, _, ops = text.rpartition("=")
        expectations.append((regex, set(filter(None, ops.split(",")))))
    arches = [int(arch) for arch in args.arch.split(",") if arch]
    wrong = check(args.files, arches, expectations)
    for sentence in wrong:
        print("FAILED:", sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
