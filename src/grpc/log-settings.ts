import type { Server } from "@grpc/grpc-js";
import { CapstanError, invalid } from "../contracts/index.ts";
import { checkAdministrator } from "../host/access.ts";
import type { LogLevel } from "../telemetry/log.ts";
import type { inference } from "./generated/inference.js";
import { GRPCInferenceService } from "./generated/services.ts";
import type { GrpcParts } from "./parts.ts";
import { addUnary } from "./rpc.ts";

type Value = inference.LogSettingsRequest.SettingValue;
type SettingValue = boolean | number | string;
type LogSettings = Record<string, SettingValue>;

/** From the quietest to the most talkative; a level includes those before it. */
const LEVELS: readonly LogLevel[] = ["silent", "error", "warn", "info", "debug"];
/** What Triton calls switching on each level after the first. */
const SWITCHES = ["log_error", "log_warning", "log_info", "log_verbose_level"] as const;

/** Log and trace settings, in the words of Triton's logging and trace extensions. */
export function addSettingsMethods(server: Server, parts: GrpcParts): void {
  addUnary(server, parts, GRPCInferenceService.LogSettings, ({ settings }, x) => {
    const { logControl } = parts;
    if (Object.keys(settings).length > 0) {
      checkAdministrator(parts.access, x);
      logControl.setLevel(changedLevel(logSettings(logControl.level()), settings));
    }
    return { settings: messageOf(logSettings(logControl.level())) };
  });
  addUnary(server, parts, GRPCInferenceService.TraceSetting, ({ settings, modelName }) => {
    if (modelName) parts.plane.signature(modelName, undefined);
    for (const name in settings) refuseTrace(name, settings[name]!.value);
    return { settings: { trace_level: { value: [TRACE_OFF] } } };
  });
}

const TRACE_OFF = "OFF";

/** What is off may be switched off. */
function refuseTrace(name: string, value: readonly string[]): void {
  if (name === "trace_level" && value.every((level) => level === TRACE_OFF)) return;
  throw new CapstanError(
    "UNSUPPORTED",
    `Trace setting '${name}' cannot be changed: this server does not record traces`,
  );
}

function logSettings(level: LogLevel): LogSettings {
  const rank = LEVELS.indexOf(level);
  return {
    log_error: rank > 0,
    log_warning: rank > 1,
    log_info: rank > 2,
    log_verbose_level: rank > 3 ? 1 : 0,
    log_file: "",
    log_format: "ISO8601",
  };
}

/** @throws CapstanError INVALID_ARGUMENT for a value of the wrong type, or a combination that is no level. */
function changedLevel(current: LogSettings, changes: Readonly<Record<string, Value>>): LogLevel {
  const wanted = { ...current };
  for (const name in changes) wanted[name] = changedValue(name, changes[name]!, current);
  const rank = SWITCHES.findLastIndex((name) => Boolean(wanted[name])) + 1;
  const gap = SWITCHES.slice(0, rank).find((name) => !wanted[name]);
  if (gap)
    throw invalid(
      `'${SWITCHES[rank - 1]}' cannot be on while '${gap}' is off: levels include the graver ones`,
    );
  return LEVELS[rank]!;
}

function changedValue(name: string, given: Value, current: LogSettings): SettingValue {
  const before = current[name];
  if (before === undefined)
    throw invalid(`'${name}' is not a log setting; there are ${Object.keys(current).join(", ")}`);
  const value = given.boolParam ?? given.uint32Param ?? given.stringParam;
  if (typeof value !== typeof before) throw invalid(`Log setting '${name}' must be a ${typeof before}`);
  if (typeof before === "string" && value !== before) {
    throw new CapstanError("UNSUPPORTED", `Log setting '${name}' cannot be changed while the server runs`);
  }
  return value as SettingValue;
}

function messageOf(settings: LogSettings): Record<string, inference.LogSettingsResponse.SettingValue.Init> {
  const written: Record<string, inference.LogSettingsResponse.SettingValue.Init> = {};
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "boolean") written[name] = { boolParam: value };
    else written[name] = typeof value === "number" ? { uint32Param: value } : { stringParam: value };
  }
  return written;
}
