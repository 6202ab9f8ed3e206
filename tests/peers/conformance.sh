#!/usr/bin/env bash
# Runs the conformance suite against Triton, MLServer (workers 0 and 1) and Capstan, and writes the tables of
# docs/conformance.md from the reports. Needs Node 24 as `node`. Reports are kept in $PEERS_RUN/conformance.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"; ROOT="$(cd "$HERE/../.." && pwd)"
. "$HERE/lib.sh"
OUT="$PEERS_RUN/conformance"; mkdir -p "$OUT"
COLUMNS_MADE=()

# suite HEADING FILE "URL grpc://HOST:PORT": exit code 1 only says that checks failed
suite() { local heading=$1 file="$OUT/$2.json" url grpc code=0
  read -r url grpc <<<"$3"
  node "$ROOT/src/cli/main.ts" conformance "$url" --grpc "${grpc#grpc://}" --repository --json >"$file" || code=$?
  [ "$code" -le 1 ] && [ -s "$file" ] || die "the suite did not run against $heading"
  COLUMNS_MADE+=("$heading=$file"); }

capstan() { local models="$OUT/models" pid="$OUT/capstan.pid" log="$OUT/capstan.log" http grpc metrics
  http=$(free_port); grpc=$(free_port); metrics=$(free_port); rm -rf "$models"
  node "$ROOT/src/cli/main.ts" conformance --write-reference "$models" >/dev/null
  mkdir -p "$models/dummy-model"
  echo '{ "name": "dummy-model", "implementation": "llm", "parameters": { "extra": { "framework": "echo" } } }' >"$models/dummy-model/model-settings.json"
  (cd "$OUT"; exec node "$ROOT/src/cli/main.ts" start "$models" --http-port "$http" --grpc-port "$grpc" --metrics-port "$metrics") >"$log" 2>&1 &
  echo $! >"$pid"
  wait_for "$pid" "$log" 60 curl -fsS -m 2 "http://127.0.0.1:$http/v2/health/ready"
  suite "Capstan" capstan "http://127.0.0.1:$http grpc://127.0.0.1:$grpc"
  stop_pid "$pid"; }

trap 'bash "$HERE/triton.sh" stop; bash "$HERE/mlserver.sh" stop; stop_pid "$OUT/capstan.pid"' EXIT
suite "Triton 2.51.0" triton "$(bash "$HERE/triton.sh" start)"
for workers in 0 1; do
  suite "MLServer 1.7.1, $workers workers" "mlserver-$workers" "$(WORKERS=$workers bash "$HERE/mlserver.sh" start "$HERE/mlserver-models")"
  bash "$HERE/mlserver.sh" stop
done
capstan
node "$ROOT/src/conformance/matrix.ts" "${COLUMNS_MADE[@]}"
