"""The comments of the contracts, which generated code has lost.

Run as a program it prints them as JSON, for `contracts/generate.sh`.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def comments_of(protos: Path) -> Mapping[str, str]:
    """Return the comment above each message, field, enum, value and method by its full name.

    Args:
        protos: Folder of all contracts.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contracts.binpb"
        sources = sorted(str(file) for file in protos.rglob("*.proto"))
        well_known = str(files("grpc_tools") / "_proto")
        failed = protoc.main(
            [
                *("protoc", f"-I{protos}", f"-I{well_known}", "--include_source_info"),
                f"--descriptor_set_out={target}",
                *sources,
            ]
        )
        if failed:
            raise RuntimeError(f"protoc could not read {protos}")
        described = FileDescriptorSet.FromString(target.read_bytes())
    return {name: text for file in described.file for name, text in _of_file(file)}


def _of_file(file: Any) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        text = " ".join(location.leading_comments.split())
        name = _name(file, list(location.path))
        if text and name:
            yield f"{file.package}.{name}", text


def _name(file: Any, path: list[int]) -> str:
    """Follow a path of field numbers and indices from the file to what is commented."""
    names: list[str] = []
    at = file
    while path:
        number, index, *path = [*path, 0] if len(path) == 1 else path
        match (at.DESCRIPTOR.name, number):
            case ("FileDescriptorProto", 4):
                at = at.message_type[index]
            case ("FileDescriptorProto", 5) | ("DescriptorProto", 4):
                at = at.enum_type[index]
            case ("FileDescriptorProto", 6):
                at = at.service[index]
            case ("ServiceDescriptorProto", 2):
                at = at.method[index]
            case ("DescriptorProto", 2):
                at = at.field[index]
            case ("DescriptorProto", 3):
                at = at.nested_type[index]
            case ("EnumDescriptorProto", 2):
                at = at.value[index]
            case _:
                return ""
        names.append(at.name)
    return ".".join(names)


if __name__ == "__main__":
    json.dump(dict(sorted(comments_of(Path("contracts/proto")).items())), sys.stdout, indent=0)
