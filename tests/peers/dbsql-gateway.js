// Lets the unmodified driver @databricks/sql talk to an open source Spark Thrift Server. It puts TLS in front, as the driver
// always says https, turns its bearer token into Basic, and rewrites the few fields in which Databricks' dialect of the
// protocol differs from HiveServer2's. All SQL runs in Spark.
//   node dbsql-gateway.js http://127.0.0.1:PORT/cliservice LISTEN_PORT cert.pem key.pem TOKEN
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";

const own = createRequire(import.meta.url);
const driver = join(own.resolve("@databricks/sql"), "../..");
const fromDriver = createRequire(join(driver, "package.json"));
const { Thrift, TBinaryProtocol, TBufferedTransport } = fromDriver("thrift");
const types = fromDriver("./thrift/TCLIService_types.js");

const [, , target, port, certificate, key, token] = process.argv;

/** A message of thrift holds one struct: field 1 of a request, field 0 of an answer. */
function decode(bytes, Struct, field) {
  return new Promise((resolve, reject) => {
    const read = (transport) => {
      const protocol = new TBinaryProtocol(transport);
      const message = protocol.readMessageBegin();
      const isFault = message.mtype === Thrift.MessageType.EXCEPTION;
      return { ...message, body: isFault ? undefined : readStruct(protocol, Struct, field) };
    };
    TBufferedTransport.receiver((transport) => {
      try {
        resolve(read(transport));
      } catch (error) {
        reject(error);
      }
    })(bytes);
  });
}

function readStruct(protocol, Struct, field) {
  let body;
  protocol.readStructBegin();
  for (;;) {
    const { ftype, fid } = protocol.readFieldBegin();
    if (ftype === Thrift.Type.STOP) return body;
    if (fid === field) {
      body = new Struct();
      body.read(protocol);
    } else protocol.skip(ftype);
    protocol.readFieldEnd();
  }
}

function encode({ fname, mtype, rseqid, body }, field) {
  let written;
  const transport = new TBufferedTransport(undefined, (bytes) => {
    written = bytes;
  });
  const protocol = new TBinaryProtocol(transport);
  protocol.writeMessageBegin(fname, mtype, rseqid);
  protocol.writeStructBegin("message");
  protocol.writeFieldBegin("message", Thrift.Type.STRUCT, field);
  body.write(protocol);
  protocol.writeFieldEnd();
  protocol.writeFieldStop();
  protocol.writeStructEnd();
  protocol.writeMessageEnd();
  transport.flush();
  return written;
}

/** Databricks binds parameters itself; Spark 4 does the same through EXECUTE IMMEDIATE ... USING. */
function bound({ statement, parameters }) {
  return `EXECUTE IMMEDIATE ${literal(statement)} USING ${parameters.map(parameter).join(", ")}`;
}

function literal(text) {
  return `'${String(text).replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

function parameter({ name, type, value }) {
  const given = value && (value.stringValue ?? value.doubleValue ?? value.booleanValue);
  const expression = given == null || type === "VOID" ? "NULL" : cast(given, type);
  return name ? `${expression} AS ${name}` : expression;
}

const cast = (value, type) => (type === "STRING" ? literal(value) : `CAST(${literal(value)} AS ${type})`);

const requests = {
  OpenSession: [
    types.TOpenSessionReq,
    (request) => {
      request.client_protocol = types.TProtocolVersion.HIVE_CLI_SERVICE_PROTOCOL_V10;
    },
  ],
  ExecuteStatement: [
    types.TExecuteStatementReq,
    (request) => {
      if (request.parameters?.length) request.statement = bound(request);
    },
  ],
};

const answers = {
  OpenSession: [
    types.TOpenSessionResp,
    (answer) => {
      answer.serverProtocolVersion = types.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V8;
    },
  ],
  GetResultSetMetadata: [
    types.TGetResultSetMetadataResp,
    (answer) => {
      answer.resultFormat = types.TSparkRowSetType.COLUMN_BASED_SET;
      // Spark counts columns from 0, the driver from 1.
      answer.schema?.columns.forEach((column, index) => {
        column.position = index + 1;
      });
    },
  ],
  GetOperationStatus: [
    types.TGetOperationStatusResp,
    (answer) => {
      answer.displayMessage ??= answer.errorMessage;
    },
  ],
};

/** The name stands in front of a message, after its version and its own length. */
const nameOf = (bytes) => bytes.toString("latin1", 8, 8 + bytes.readInt32BE(4));

async function rewrite(rules, bytes, field) {
  const rule = rules[nameOf(bytes)];
  if (rule === undefined) return bytes;
  const [Struct, change] = rule;
  const message = await decode(bytes, Struct, field);
  if (message.body === undefined) return bytes;
  change(message.body);
  return encode(message, field);
}

const readAll = async (stream) => Buffer.concat(await Array.fromAsync(stream));

function forward(bytes) {
  const headers = {
    "content-type": "application/x-thrift",
    "content-length": bytes.length,
    authorization: `Basic ${Buffer.from("token:x").toString("base64")}`,
  };
  return new Promise((resolve, reject) => {
    const request = http.request(target, { method: "POST", headers }, resolve);
    request.on("error", reject);
    request.end(bytes);
  });
}

async function handle(request, response) {
  if (request.headers.authorization !== `Bearer ${token}`) {
    response.writeHead(401).end('{"error_code":"401","message":"bad token"}');
    return;
  }
  const answer = await forward(await rewrite(requests, await readAll(request), 1));
  const bytes = await readAll(answer);
  const body = answer.statusCode === 200 ? await rewrite(answers, bytes, 0) : bytes;
  response.writeHead(answer.statusCode, { "content-type": "application/x-thrift" }).end(body);
}

const secrets = { cert: readFileSync(certificate), key: readFileSync(key) };
https
  .createServer(secrets, (request, response) => {
    handle(request, response).catch((error) => {
      console.error(error);
      response.writeHead(502).end(String(error));
    });
  })
  .listen(Number(port), "127.0.0.1", () => console.log("ready"));
