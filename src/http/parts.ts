import type { Log } from "../contracts/index.ts";
import type { Access } from "../host/access.ts";
import type { Administration, RecordsControl } from "../host/administration.ts";
import type { Journal } from "../host/journal.ts";
import type { Conversations } from "../host/memory/memories.ts";
import type { RunningCalls } from "../host/running.ts";
import type { BrowserStreams } from "../host/streams/index.ts";
import type { DataPlane, RepositoryControl } from "../host/types.ts";
import type { ServerSettings } from "../settings/server.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { Tracing } from "../telemetry/tracing.ts";

/** What the HTTP routes are made of. */
export interface HttpParts {
  readonly plane: DataPlane;
  /** Absent: everybody may call. */
  readonly access?: Access | undefined;
  /** Absent: there are no keys. */
  readonly administration?: Administration | undefined;
  readonly records?: RecordsControl | undefined;
  readonly repository: RepositoryControl;
  /** Absent: no models come and go here. */
  readonly journal?: Pick<Journal, "read" | "follow">;
  readonly metrics: Metrics;
  /** Absent: nobody asked for traces. */
  readonly tracing?: Tracing | undefined;
  readonly settings: ServerSettings;
  readonly log: Log;
  readonly running: RunningCalls;
  readonly streams: BrowserStreams;
  /** Absent: no model remembers anything. */
  readonly memories?: Conversations;
  /** True once the server is stopping: connections are closed after their answer. */
  readonly stopping: () => boolean;
}
