"""
Generate the Python modules of the contracts, beside their sources, and the descriptor set that buf reads.

Usage: ``python deploy/generate.py [DESCRIPTOR_SET] [PROTO_ROOT]``; the root is ``protos`` unless told otherwise.
"""

import ast
import importlib.util
import sys
from importlib import resources
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from grpc_tools import protoc

VALIDATE = "buf/validate/validate.proto"


def validate_descriptors() -> bytes:
    """
    Return protovalidate's own contract as a serialised descriptor set.

    The wheel ships no ``.proto``; the descriptor is read, without importing it, out of the module that
    registers it. The version is pinned for this reason.
    """
    spec = importlib.util.find_spec("protovalidate")
    if spec is None or spec.origin is None:
        sys.exit("protovalidate is not installed: run `make setup`")
    source = Path(spec.origin).parent / "_gen/buf/validate/validate_pb.py"
    raw = next(
        node.value.args[0].value  # type: ignore[attr-defined]
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.Assign)
        and getattr(node.targets[0], "id", "") == "_DESC"
    )
    found = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        found.file.add().MergeFromString(module.DESCRIPTOR.serialized_pb)
    found.file.add().MergeFromString(raw)
    return found.SerializeToString()


def compile_with(*options: str) -> None:
    """Run protoc and stop with its own words when it refuses."""
    if status := protoc.main(["protoc", *options]):
        sys.exit(status)


def main(target: Path, root: Path) -> None:
    """Write the descriptor set of all contracts under *root* to *target*; for ``protos`` also the Python modules."""
    target.parent.mkdir(parents=True, exist_ok=True)
    validate = target.parent / "validate.binpb"
    validate.write_bytes(validate_descriptors())
    site = Path(
        importlib.util.find_spec("google.type").submodule_search_locations[0]
    ).parents[1]  # type: ignore[union-attr,index]
    contracts = sorted(
        str(path.relative_to(root)) for path in (root / "guanhu").rglob("*.proto")
    )
    sources = [f"--descriptor_set_in={validate}", f"-I{root}", f"-I{site}"]
    sources.append(f"-I{resources.files(grpc_tools) / '_proto'}")
    if root == Path("protos"):
        compile_with(
            *sources[:1], f"--python_out={root}", f"--pyi_out={root}", VALIDATE
        )
        compile_with(
            *sources,
            f"--python_out={root}",
            f"--pyi_out={root}",
            f"--grpc_python_out={root}",
            *contracts,
        )
    compile_with(
        *sources,
        "--include_imports",
        "--include_source_info",
        f"-o{target}",
        *contracts,
    )


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else ".make/contract.binpb"),
        Path(sys.argv[2] if len(sys.argv) > 2 else "protos"),
    )
