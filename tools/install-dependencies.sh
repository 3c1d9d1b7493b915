#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs what building and testing need on Debian 12, Debian 13 and Ubuntu 24.04. With "test" as its
# argument also what only the tests need. On other systems install the same libraries by hand; the scripts go
# on when everything is found.
set -eu

packages="meson ninja-build gcc pkg-config gettext libglib2.0-dev libdnnl-dev libopenblas-serial-dev libpcre2-dev libgirepository1.0-dev gobject-introspection"
if [ "${1:-}" = test ]; then
  packages="$packages python3 python3-venv python3-gi gir1.2-glib-2.0 clang libclang-rt-dev libomp-dev locales"
fi

command -v apt-get >/dev/null 2>&1 || exit 0

missing=""
for package in $packages; do
  # Debian 12 has the sanitizer runtime under a versioned name only.
  if [ "$package" = libclang-rt-dev ] && ! apt-cache show libclang-rt-dev >/dev/null 2>&1; then
    package=libclang-rt-14-dev
  fi
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
  as_root=""
else
  as_root="sudo"
fi
echo "Installing:$missing" >&2
$as_root apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing >&2
