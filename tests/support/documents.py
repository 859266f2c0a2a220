"""Files of each accepted type, as small as they can be, and multipart bodies, byte for byte."""

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Final

BOUNDARY: Final = "tael-boundary-7f3a"
MULTIPART: Final = f"multipart/form-data; boundary={BOUNDARY}"
#: Name of the parameter, name of the file, content.
File = tuple[str, str, bytes]


def multipart(params: Mapping[str, str], files: Iterable[File] = ()) -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in params.items()
    ]
    for name, filename, content in files:
        head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
        parts.append(
            f"--{BOUNDARY}\r\n{head}\r\nContent-Type: application/x-php\r\n\r\n".encode() + content + b"\r\n"
        )
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def png(width: int = 40, height: int = 30, salt: bytes = b"") -> bytes:
    """`salt` makes another file of the same picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = zlib.compress(bytes(3 * width + 1) * min(height, 64))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tEXt", salt) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg(width: int = 640, height: int = 480) -> bytes:
    head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    frame = (
        b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03\x01\x11\0\x02\x11\0\x03\x11\0"
    )
    return head + frame + b"\xff\xd9"


def webp(width: int = 100, height: int = 50) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas


PDF: Final = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
