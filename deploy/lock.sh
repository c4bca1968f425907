#!/bin/sh
# Resolves pyproject.toml into requirements.lock (what runs) and requirements-dev.lock (that, and what tests and checks
# need), with hashes and without addresses, for every Python that the project supports. Versions that stand in the locks
# stay; `deploy/lock.sh --upgrade` takes the newest. `make check` says, offline, when the locks no longer fit.
set -eu
cd "$(dirname "$0")/.."
uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  uv=.cache/uv/bin/uv
  [ -x "$uv" ] || { python3 -m venv .cache/uv && .cache/uv/bin/pip install --quiet --disable-pip-version-check uv; }
fi
resolve() {
  "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --fork-strategy fewest \
    --generate-hashes --no-header --no-annotate "$@"
}
# One resolution serves both files: the smaller one is bound to the versions of the larger.
resolve --group dev --output-file requirements-dev.lock "$@"
resolve --group build --constraint requirements-dev.lock --output-file requirements.lock "$@"
