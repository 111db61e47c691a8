#!/usr/bin/env bash
# Types, unit tests, and that dist is what the source makes. Needs Node 20 or newer and the npm registry; cargo needs neither.
set -euo pipefail
cd "$(dirname "$0")"
npm ci --ignore-scripts --silent
npm run --silent types
npm run --silent test
npm run --silent build
node pack.mjs --check
