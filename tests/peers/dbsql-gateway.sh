#!/usr/bin/env bash
# What the unmodified driver @databricks/sql connects to: TLS and Databricks' dialect of the protocol, in front of spark-thrift.sh.
#   dbsql-gateway.sh install | start | stop | url | ca
# `url` is https://127.0.0.1:PORT/sql/1.0/warehouses/local, `ca` the file of its certificate; the token is "tok".
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"
RUN="$PEERS_RUN/dbsql"
PID="$RUN/pid"
LOG="$RUN/log"
URL="$RUN/url"
CERT="$RUN/cert.pem"
KEY="$RUN/key.pem"

certificate() {
  [ -f "$CERT" ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$KEY" -out "$CERT" 2>/dev/null
}

start() {
  alive "$PID" && { url; return; }
  local thrift port
  thrift=$("$HERE/spark-thrift.sh" start)
  mkdir -p "$RUN"
  certificate
  # The same one after a crash.
  [ -f "$URL" ] || echo "https://127.0.0.1:$(free_port)/sql/1.0/warehouses/local" >"$URL"
  port=$(sed 's|.*:\([0-9]*\)/.*|\1|' "$URL")
  PATH="$HERE/../../node_modules/.bin:$PATH" setsid node "$HERE/dbsql-gateway.js" "$thrift" "$port" "$CERT" "$KEY" tok >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  wait_for "$PID" "$LOG" 20 grep -q ready "$LOG"
  url
}

url() { cat "$URL"; }

case "${1:-}" in
install) "$HERE/spark-thrift.sh" install ;;
start) start ;;
stop)
  stop_pid "$PID"
  rm -f "$URL"
  "$HERE/spark-thrift.sh" stop
  ;;
url) url ;;
ca) echo "$CERT" ;;
*) die "usage: $0 install | start | stop | url | ca" ;;
esac
