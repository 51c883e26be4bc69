#!/usr/bin/env bash
# Has the AsyncAPI document read by the specification's own parser, from npm. Skipped, with its
# reason, where there is no Node.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v npm >/dev/null; then
    echo "contracts: asyncapi skipped: its parser comes from npm, and there is no Node.js here"
    exit 0
fi
folder="../.venv/asyncapi"
if [ ! -d "$folder/node_modules/@asyncapi/parser" ]; then
    mkdir -p "$folder"
    npm install --silent --no-fund --no-audit --prefix "$folder" @asyncapi/parser@3.6.3
fi
cat >"$folder/read.mjs" <<'JS'
import { Parser, fromFile } from '@asyncapi/parser';
const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();
const errors = diagnostics.filter((one) => one.severity === 0);
for (const one of errors) console.error(`${one.path?.join('.') ?? ''}: ${one.message}`);
process.exit(document && errors.length === 0 ? 0 : 1);
JS
node "$folder/read.mjs" asyncapi.yaml
