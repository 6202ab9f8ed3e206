#!/usr/bin/env bash
# A Chromium for the tests: prints its path. Installs it by apt-get where there is none; CHROMIUM names another one.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"

find_browser() {
  local name
  for name in ${CHROMIUM:-} chromium chromium-browser google-chrome; do
    command -v "$name" && return
  done
  return 1
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

find_browser && exit
with_lock chromium
find_browser && exit
command -v apt-get >/dev/null || die "there is no chromium, and no apt-get to install it; set CHROMIUM to a browser"
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium >&2 ||
  die "apt-get could not install chromium; set CHROMIUM to a browser"
find_browser || die "apt-get installed a chromium that cannot be found"
