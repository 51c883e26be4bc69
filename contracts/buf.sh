#!/usr/bin/env bash
# Runs buf, from npm, on the contracts: `lint`, or `breaking` against the last release's contracts
# (tag v*), or main's where there is no release. Skipped, with its reason, where there is no Node.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v npm >/dev/null; then
    echo "contracts: buf $1 skipped: it comes from npm, and there is no Node.js here"
    exit 0
fi
folder="../.venv/buf"
if [ ! -x "$folder/node_modules/.bin/buf" ]; then
    mkdir -p "$folder"
    npm install --silent --no-fund --no-audit --prefix "$folder" @bufbuild/buf@1.75.0
fi
buf="$folder/node_modules/.bin/buf"
case "$1" in
    lint) "$buf" lint ;;
    breaking)
        base="$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || git rev-parse --verify -q origin/main || true)"
        if [ -z "$base" ] || ! git cat-file -e "$base:contracts/buf.yaml" 2>/dev/null; then
            echo "contracts: buf breaking skipped: no earlier contracts to compare with"
            exit 0
        fi
        before="$(mktemp -d)"
        trap 'rm -rf "$before"' EXIT
        git -C .. archive "$base" contracts | tar -x -C "$before"
        "$buf" breaking --against "$before/contracts"
        ;;
esac
