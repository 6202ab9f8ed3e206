#!/usr/bin/env bash
# Prometheus for the tests: the machine's, or the one that apt-get brings, with promtool.
#   prometheus.sh install | start CONFIG [NAME] | stop [NAME]
# `start` prints its address. NAME: servers of different names run beside each other; default: prometheus.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

there() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

install() {
  there && return
  with_lock prometheus
  there && return
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prometheus >&2
  there || die "prometheus could not be installed by apt-get"
}

paths() {
  RUN="$PEERS_RUN/prometheus-${1:-prometheus}"
  PID="$RUN/pid"
  LOG="$RUN/log"
}

answers() {
  python3 - "$1" <<'PYTHON'
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1] + "/-/ready", timeout=1)
PYTHON
}

start() {
  local config=$1 address
  paths "${2:-}"
  alive "$PID" && die "there is one already: $(cat "$PID")"
  install
  mkdir -p "$RUN"
  rm -rf "$RUN/data"
  address="127.0.0.1:$(free_port)"
  setsid prometheus --config.file="$config" --storage.tsdb.path="$RUN/data" --web.listen-address="$address" \
    >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  wait_for "$PID" "$LOG" 60 answers "http://$address"
  echo "http://$address"
}

stop() {
  paths "${1:-}"
  stop_pid "$PID"
  rm -rf "$RUN"
}

case "${1:-}" in
install) install ;;
start) start "${2:?CONFIG}" "${3:-}" ;;
stop) stop "${2:-}" ;;
*) die "usage: $0 install | start CONFIG [NAME] | stop [NAME]" ;;
esac
