"""Reads which shared libraries an ELF file needs: a missing package is found when building, not when running."""

import struct

_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRTAB = 1, 5


def needed(data: bytes) -> tuple[str, ...]:
    """The DT_NEEDED entries of a 64-bit little-endian ELF file; nothing for any other file."""
    if data[:6] != b"\x7fELF\x02\x01":
        return ()
    (offset,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    headers = [struct.unpack_from("<IIQQQQQQ", data, offset + index * size) for index in range(count)]
    loads = [(address, start, length) for kind, _, start, address, _, length, _, _ in headers if kind == _LOAD]
    for kind, _, start, _, _, length, _, _ in headers:
        if kind != _DYNAMIC:
            continue
        entries = [struct.unpack_from("<QQ", data, start + at) for at in range(0, length, 16)]
        table = next((_place(value, loads) for tag, value in entries if tag == _STRTAB), 0)
        return tuple(_text(data, table + value) for tag, value in entries if tag == _NEEDED)
    return ()


def _place(address: int, loads: list[tuple[int, int, int]]) -> int:
    """Where in the file an address of the loaded program lies."""
    for begin, start, length in loads:
        if begin <= address < begin + length:
            return start + address - begin
    return address


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()
