#!/usr/bin/env bash
# MLflow 3.17 tracking server and registry: SQLite behind it, artifacts through its own proxy.
#   mlflow.sh install | start | stop | url
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"
# The environment that the tests of the mlflow runtime use as well.
VENV="$PEERS_CACHE/mlflow-3.17.2"
RUN="$PEERS_RUN/mlflow"
PID="$RUN/pid"
LOG="$RUN/log"
URL="$RUN/url"

install() {
  [ -f "$VENV/.installed" ] && return
  with_lock mlflow
  [ -f "$VENV/.installed" ] && return
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q -r "$HERE/mlflow/requirements.txt"
  touch "$VENV/.installed"
}

start() {
  alive "$PID" && { cat "$URL"; return; }
  local port
  install >&2
  rm -rf "$RUN"
  mkdir -p "$RUN/artifacts"
  port="${MLFLOW_PORT:-$(free_port)}"
  # A process group of its own, so that stop ends the web server's worker too.
  (
    cd "$RUN"
    exec setsid env MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
      "$VENV/bin/mlflow" server --host 127.0.0.1 --port "$port" --workers 1 \
      --backend-store-uri "sqlite:///$RUN/mlflow.db" \
      --serve-artifacts --artifacts-destination "$RUN/artifacts"
  ) >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  echo "http://127.0.0.1:$port" >"$URL"
  wait_for "$PID" "$LOG" 120 curl -fsS -m 2 "$(cat "$URL")/health"
  cat "$URL"
}

stop() {
  if alive "$PID"; then kill -- "-$(cat "$PID")" 2>/dev/null || true; fi
  stop_pid "$PID"
}

case "${1:-}" in
install) install ;;
start) start ;;
stop) stop ;;
url) cat "$URL" ;;
*) die "usage: $0 install | start | stop | url" ;;
esac
