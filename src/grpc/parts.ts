import type { Log } from "../contracts/index.ts";
import type { Access } from "../host/access.ts";
import type { RunningCalls } from "../host/running.ts";
import type { DataPlane, RepositoryControl } from "../host/types.ts";
import type { ServerSettings } from "../settings/server.ts";
import type { LogControl } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";

/** What the gRPC services are made of. */
export interface GrpcParts {
  readonly plane: DataPlane;
  /** Absent: everybody may call. */
  readonly access?: Access | undefined;
  readonly repository: RepositoryControl;
  readonly metrics: Metrics;
  /** Absent: nobody asked for traces. */
  readonly tracing?: Tracing | undefined;
  readonly settings: ServerSettings;
  /** Where calls can be cancelled by their ids. */
  readonly running?: RunningCalls | undefined;
  readonly log: Log;
  readonly logControl: LogControl;
  /** True once the server is stopping: it counts as not serving. */
  readonly stopping: () => boolean;
}
