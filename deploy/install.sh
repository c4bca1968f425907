#!/bin/sh
# Installs Pegel and one lock into a virtual environment: `make` and the Dockerfile both call this.
#
#   deploy/install.sh VENV LOCK [--editable]       e.g. deploy/install.sh .venv requirements-dev.lock --editable
#
# Everything comes from the lock by its hashes, the build backend too; the project itself is then built with that
# backend and fetches nothing. uv does the work where it is on the PATH, else pip. One line a step, with its seconds;
# what pip said is shown when it fails. PYTHON names the interpreter; else python3.11, or a python3 that will do.
#
#   deploy/install.sh --check                      says what is missing for that, and nothing else
set -eu
[ $# -ge 2 ] || [ "${1:-}" = --check ] || { echo "usage: $0 VENV LOCK [--editable] | --check" >&2; exit 2; }
venv=$1 lock=${2:-} editable=${3:+-e}
root=$(cd "$(dirname "$0")/.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; }

now_ms() { echo $(($(date +%s%N) / 1000000)); }

step() { # step TEXT COMMAND...
  text=$1; shift
  began=$(now_ms)
  if ! "$@" >"$log" 2>&1; then
    cat "$log" >&2
    echo "$text: failed" >&2
    exit 1
  fi
  took=$(($(now_ms) - began))
  printf '%-58s %5d.%d s\n' "$text" $((took / 1000)) $((took % 1000 / 100))
}

python=
for candidate in ${PYTHON:-python3.11 python3}; do
  if suits "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  echo "No Python from 3.11 to 3.13 found (tried ${PYTHON:-python3.11, python3}). On Debian 12: apt install python3 python3-venv" >&2
  exit 2
fi
uv=$(command -v uv || true)

makes_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

no_venv() {
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  echo "$python cannot make a virtual environment: its venv module is missing." >&2
  echo "On Debian and Ubuntu: apt install python$version-venv   (or python3-venv)" >&2
  exit 2
}

if [ "$1" = --check ]; then
  [ -n "$uv" ] || makes_venv || no_venv
  exit 0
fi

# A folder that was left half made, whose interpreter is gone, or that has no pip where pip is needed, is made anew.
if ! suits "$venv/bin/python" || { [ -z "$uv" ] && ! "$venv/bin/python" -c 'import pip' 2>/dev/null; }; then
  if [ -n "$uv" ]; then
    step "environment $venv made with $python" "$python" -m venv --clear --without-pip "$venv"
  else
    makes_venv || no_venv
    step "environment $venv made with $python" "$python" -m venv --clear "$venv"
  fi
fi

if [ -n "$uv" ]; then
  step "$lock installed by uv" "$uv" pip install --quiet --python "$venv/bin/python" --compile-bytecode --require-hashes -r "$root/$lock"
  step "pegel installed" "$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation $editable "$root"
else
  step "$lock installed by pip" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$root/$lock"
  step "pegel installed" "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $editable "$root"
fi
