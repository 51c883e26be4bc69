#!/usr/bin/env bash
# Generates contracts/gen, or the folder that is named, from contracts/proto. Run from the
# repository's root. With --check it says whether contracts/gen is what would be generated.
set -euo pipefail
target="${1:-contracts/gen}"
if [ "$target" = --check ]; then
    target="$(mktemp -d)"
    trap 'rm -rf "$target"' EXIT
    bash "$0" "$target/gen"
    diff -r --brief --exclude=__pycache__ contracts/gen "$target/gen" && exit 0
    echo "contracts/gen is not what contracts/proto says: run \`make contracts\`" >&2
    exit 1
fi
rm -rf "$target"
mkdir -p "$target"
mapfile -t all < <(find contracts/proto -name '*.proto' | sort)
mapfile -t services < <(find contracts/proto -name '*_service.proto' | sort)
plugins=(--plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc)
.venv/bin/python -m grpc_tools.protoc -I contracts/proto "${plugins[@]}" \
    --python_out="$target" --mypy_out=quiet:"$target" "${all[@]}"
.venv/bin/python -m grpc_tools.protoc -I contracts/proto "${plugins[@]}" \
    --grpc_python_out="$target" --mypy_grpc_out=quiet:"$target" "${services[@]}"
find "$target/oms" -type d -exec touch {}/__init__.py \;
# What the OpenAPI document tells of each field: generated code has lost it.
PYTHONPATH=. .venv/bin/python -m contracts.describe.comments > "$target/oms/comments.json"
