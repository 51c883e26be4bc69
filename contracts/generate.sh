# regenerate; run from the repository root
set -e
rm -rf contracts/gen && mkdir -p contracts/gen
find contracts/proto -name '*.proto' | sort | xargs .venv/bin/python -m grpc_tools.protoc -I contracts/proto --python_out=contracts/gen --grpc_python_out=contracts/gen --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc --mypy_out=quiet:contracts/gen --mypy_grpc_out=quiet:contracts/gen
find contracts/gen/oms -type d -exec touch {}/__init__.py \;
