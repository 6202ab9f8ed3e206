import pino, { type DestinationStream, type Logger } from "pino";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Fields that may carry a credential never reach the output. */
const REDACTED = [
  "authorization",
  "token",
  "api_key",
  "password",
  "secret",
  "headers.authorization",
  "headers.cookie",
];

export interface LogOptions {
  readonly level: LogLevel;
  /** Coloured lines for a person at a terminal instead of JSON. */
  readonly pretty: boolean;
  /** Where lines go; standard output when absent. */
  readonly destination?: DestinationStream;
}

/** The server's log: one JSON object a line, ISO time, level by name. */
export async function createLog(options: LogOptions): Promise<Logger> {
  const settings = {
    level: options.level,
    timestamp: pino.stdTimeFunctions.isoTime,
    base: undefined,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: REDACTED.flatMap((path) => [path, `*.${path}`]), censor: "[redacted]" },
  };
  const destination = options.destination ?? (options.pretty ? await prettyStream() : pino.destination(1));
  return pino(settings, destination);
}

/** Loaded only for a terminal: a server in a container never pays for it. */
async function prettyStream(): Promise<DestinationStream> {
  const { default: pretty } = await import("pino-pretty");
  return pretty({ translateTime: "SYS:HH:MM:ss.l", ignore: "pid,hostname", sync: true });
}

/** The level of a running server's log. */
export interface LogControl {
  level(): LogLevel;
  setLevel(level: LogLevel): void;
}

export function logControl(log: Logger): LogControl {
  return {
    level: () => log.level as LogLevel,
    setLevel: (level) => {
      log.level = level;
    },
  };
}
