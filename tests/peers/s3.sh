#!/usr/bin/env bash
# An S3 server from PyPI (moto): quick to install. It checks no signatures.
#   s3.sh install | start | stop | url
set -euo pipefail
. "$(cd "$(dirname "$0")" && pwd)/lib.sh"
VERSION=5.2.5
VENV="$PEERS_CACHE/moto-$VERSION"
RUN="$PEERS_RUN/s3"
PID="$RUN/pid"
LOG="$RUN/log"
URL="$RUN/url"

install() {
  [ -f "$VENV/.ok" ] && return
  with_lock s3
  [ -f "$VENV/.ok" ] && return
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q "moto[server,s3]==$VERSION"
  touch "$VENV/.ok"
}

start() {
  alive "$PID" && { cat "$URL"; return; }
  local port
  install >&2
  mkdir -p "$RUN"
  port="${S3_PORT:-$(free_port)}"
  "$VENV/bin/moto_server" -H 127.0.0.1 -p "$port" >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  echo "http://127.0.0.1:$port" >"$URL"
  wait_for "$PID" "$LOG" 30 curl -fsS -m 2 "$(cat "$URL")/moto-api/"
  cat "$URL"
}

case "${1:-}" in
install) install ;;
start) start ;;
stop) stop_pid "$PID" ;;
url) cat "$URL" ;;
*) die "usage: $0 install | start | stop | url" ;;
esac
