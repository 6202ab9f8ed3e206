#!/usr/bin/env bash
# Runs the conformance suite against real servers and writes the tables of docs/conformance.md from the reports.
#   conformance.sh [triton] [mlserver-0] [mlserver-1] [capstan]     default: all
# Reports are kept in $PEERS_RUN/conformance, so that one column can be made again. Needs Node 24 as `node`.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
ROOT="$(cd "$HERE/../.." && pwd)"
. "$HERE/lib.sh"
OUT="$PEERS_RUN/conformance"
mkdir -p "$OUT"

declare -A HEADINGS=(
  [triton]="Triton 2.51.0"
  [mlserver-0]="MLServer 1.7.1, in process"
  [mlserver-1]="MLServer 1.7.1, one worker"
  [capstan]="Capstan"
)
ORDER=(triton mlserver-0 mlserver-1 capstan)

# suite NAME "URL grpc://HOST:PORT"; exit code 1 only says that checks failed
suite() {
  local file="$OUT/$1.json" url grpc code=0
  read -r url grpc <<<"$2"
  node "$ROOT/src/cli/main.ts" conformance "$url" --grpc "${grpc#grpc://}" --repository --json >"$file.new" || code=$?
  [ "$code" -le 1 ] && [ -s "$file.new" ] || die "the suite did not run against $1"
  mv "$file.new" "$file"
}

triton() {
  suite triton "$(bash "$HERE/triton.sh" start)"
  bash "$HERE/triton.sh" stop
}

mlserver() {
  suite "mlserver-$1" "$(WORKERS=$1 bash "$HERE/mlserver.sh" start "$HERE/mlserver-models")"
  bash "$HERE/mlserver.sh" stop
}

capstan() {
  local models="$OUT/models" pid="$OUT/capstan.pid" log="$OUT/capstan.log" http grpc metrics
  http=$(free_port)
  grpc=$(free_port)
  metrics=$(free_port)
  rm -rf "$models"
  node "$ROOT/src/cli/main.ts" conformance --write-reference "$models" >/dev/null
  mkdir -p "$models/echo"
  echo '{ "name": "echo", "implementation": "llm", "parameters": { "extra": { "framework": "echo" } } }' \
    >"$models/echo/model-settings.json"
  (
    cd "$OUT"
    exec node "$ROOT/src/cli/main.ts" start "$models" --http-port "$http" --grpc-port "$grpc" --metrics-port "$metrics"
  ) >"$log" 2>&1 &
  echo $! >"$pid"
  wait_for "$pid" "$log" 60 curl -fsS -m 2 "http://127.0.0.1:$http/v2/health/ready"
  suite capstan "http://127.0.0.1:$http grpc://127.0.0.1:$grpc"
  stop_pid "$pid"
}

trap 'bash "$HERE/triton.sh" stop; bash "$HERE/mlserver.sh" stop; stop_pid "$OUT/capstan.pid"' EXIT
for name in "${@:-${ORDER[@]}}"; do
  case "$name" in
  triton | capstan) "$name" ;;
  mlserver-[01]) mlserver "${name#mlserver-}" ;;
  *) die "unknown server '$name': give any of ${ORDER[*]}" ;;
  esac
done

COLUMNS_MADE=()
for name in "${ORDER[@]}"; do
  [ -f "$OUT/$name.json" ] && COLUMNS_MADE+=("${HEADINGS[$name]}=$OUT/$name.json")
done
node "$ROOT/src/conformance/matrix.ts" "${COLUMNS_MADE[@]}"
