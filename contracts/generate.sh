#!/usr/bin/env bash
# Generates contracts/gen from contracts/proto. Run from the repository's root.
set -euo pipefail
rm -rf contracts/gen
mkdir -p contracts/gen
mapfile -t all < <(find contracts/proto -name '*.proto' | sort)
mapfile -t services < <(find contracts/proto -name '*_service.proto' | sort)
plugins=(--plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc)
.venv/bin/python -m grpc_tools.protoc -I contracts/proto "${plugins[@]}" \
    --python_out=contracts/gen --mypy_out=quiet:contracts/gen "${all[@]}"
.venv/bin/python -m grpc_tools.protoc -I contracts/proto "${plugins[@]}" \
    --grpc_python_out=contracts/gen --mypy_grpc_out=quiet:contracts/gen "${services[@]}"
find contracts/gen/oms -type d -exec touch {}/__init__.py \;
# What the OpenAPI document tells of each field: generated code has lost it.
PYTHONPATH=. .venv/bin/python -m contracts.describe.comments > contracts/gen/oms/comments.json
