#!/usr/bin/env bash
# Spark's Thrift Server (HiveServer2's protocol over HTTP) with Delta tables. Needs Java 17 or newer, Maven and Python 3.
#   spark-thrift.sh install | start | stop | url
# The catalog is in memory: its tables are gone when it stops.
set -euo pipefail
HERE="$(cd "$(dirname "$0")" && pwd)"
. "$HERE/lib.sh"
SPARK="${SPARK_VERSION:-4.1.4}"
DELTA="${DELTA_VERSION:-4.4.0}"
SERIES="${SPARK%.*}"
VENV="$PEERS_CACHE/spark-$SPARK"
JARS="$PEERS_CACHE/delta-$SERIES-$DELTA"
RUN="$PEERS_RUN/spark-thrift"
PID="$RUN/pid"
LOG="$RUN/log"
URL="$RUN/url"

install() {
  [ -f "$VENV/.installed" ] && [ -f "$JARS/.installed" ] && return
  with_lock spark
  [ -f "$VENV/.installed" ] || install_spark
  [ -f "$JARS/.installed" ] || install_delta
}

install_spark() {
  command -v java >/dev/null || die "Spark needs Java 17 or newer: apt-get install openjdk-17-jre-headless"
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q "pyspark==$SPARK"
  touch "$VENV/.installed"
}

# Only the jars that Spark does not ship already.
install_delta() {
  command -v mvn >/dev/null || die "Delta's jars come by Maven: apt-get install maven"
  local artifact
  mkdir -p "$JARS"
  for artifact in "delta-spark_${SERIES}_2.13" delta-storage; do
    mvn -q -B dependency:get -Dtransitive=false "-Dartifact=io.delta:$artifact:$DELTA" >&2
    mvn -q -B dependency:copy "-Dartifact=io.delta:$artifact:$DELTA" "-DoutputDirectory=$JARS" >&2
  done
  touch "$JARS/.installed"
}

submit() {
  local home port="$1"
  home=$("$VENV/bin/python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
  cd "$RUN"
  exec setsid env SPARK_HOME="$home" SPARK_LOCAL_IP=127.0.0.1 PYSPARK_PYTHON="$VENV/bin/python" "$home/bin/spark-submit" \
    --master 'local[2]' --driver-memory "${THRIFT_HEAP:-1g}" --jars "$(printf '%s\n' "$JARS"/*.jar | paste -sd,)" \
    --driver-class-path "$(printf '%s\n' "$JARS"/*.jar | paste -sd:)" \
    --conf spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension \
    --conf spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog \
    --conf spark.sql.warehouse.dir="$RUN/warehouse" --conf spark.ui.enabled=false \
    --conf spark.sql.catalogImplementation=in-memory \
    --conf spark.sql.shuffle.partitions=2 --conf spark.databricks.delta.snapshotPartitions=2 \
    --conf spark.sql.sources.default=delta --conf spark.sql.legacy.parameterSubstitution.constantsOnly=true \
    --conf spark.hadoop.hive.server2.transport.mode=http \
    --conf spark.hadoop.hive.server2.thrift.http.port="$port" \
    --conf spark.hadoop.hive.server2.thrift.http.path=cliservice \
    --conf spark.hadoop.hive.server2.thrift.bind.host=127.0.0.1 \
    --conf spark.hadoop.hive.server2.authentication=NOSASL \
    --class org.apache.spark.sql.hive.thriftserver.HiveThriftServer2 spark-internal
}

start() {
  alive "$PID" && { url; return; }
  local port
  install >&2
  rm -rf "$RUN"
  mkdir -p "$RUN"
  port="${THRIFT_PORT:-$(free_port)}"
  (submit "$port") >"$LOG" 2>&1 9>&- &
  echo $! >"$PID"
  echo "http://127.0.0.1:$port/cliservice" >"$URL"
  wait_for "$PID" "$LOG" 180 bash -c "</dev/tcp/127.0.0.1/$port"
  url
}

url() { cat "$URL"; }

case "${1:-}" in
install) install ;;
start) start ;;
stop) stop_pid "$PID" ;;
url) url ;;
*) die "usage: $0 install | start | stop | url" ;;
esac
