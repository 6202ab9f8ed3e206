import { recordRoutes } from "../../http/admin/records.ts";
import { adminRoutes } from "../../http/admin/routes.ts";
import { createApp } from "../../http/app.ts";
import { cancelRoutes } from "../../http/cancel.ts";
import { controlRoutes } from "../../http/control.ts";
import { docsRoutes } from "../../http/docs/routes.ts";
import { eventSourceRoutes } from "../../http/event-source.ts";
import { servedModel } from "../../http/event-source-model.ts";
import { generateRoutes } from "../../http/generate.ts";
import { healthRoutes, metricsRoutes } from "../../http/health.ts";
import { kickoffRoutes } from "../../http/kickoff.ts";
import type { Kickoffs } from "../../http/kickoffs.ts";
import { mlflowRoutes } from "../../http/mlflow.ts";
import { openAIRoutes } from "../../http/openai/routes.ts";
import type { HttpParts } from "../../http/parts.ts";
import { repositoryRoutes } from "../../http/repository.ts";
import { repositoryEventRoutes } from "../../http/repository-events.ts";
import type { Route } from "../../http/route.ts";
import { type Listening, listen } from "../../http/server.ts";
import { sessionRoutes } from "../../http/sessions.ts";
import { textRoutes } from "../../http/text.ts";
import { v2Routes } from "../../http/v2.ts";

/** Every route of HTTP, on one port. */
export function listenForModels(parts: HttpParts, kickoffs: Kickoffs): Promise<Listening> {
  const { settings } = parts;
  const routes: Route[] = [
    ...docsRoutes(() => routes),
    ...v2Routes,
    ...repositoryRoutes,
    ...controlRoutes,
    ...repositoryEventRoutes,
    ...adminRoutes,
    ...recordRoutes,
    ...healthRoutes,
    ...mlflowRoutes,
    ...generateRoutes,
    ...eventSourceRoutes(servedModel),
    ...sessionRoutes,
    ...cancelRoutes,
    ...kickoffRoutes(kickoffs),
    ...openAIRoutes(),
    ...textRoutes(settings.metrics_endpoint),
    ...metricsRoutes(settings.metrics_endpoint),
  ];
  const address = { host: settings.host, port: settings.http_port };
  return listen(createApp(routes, parts), address, settings, {
    overdue: () => parts.running.cancelAll("The server is stopping"),
  });
}

/** Metrics have a port of their own, so that it can be open where the models are not. */
export async function listenForMetrics(parts: HttpParts): Promise<Listening | undefined> {
  const { settings } = parts;
  if (settings.metrics_endpoint === null) return undefined;
  const app = createApp(metricsRoutes(settings.metrics_endpoint), parts);
  return listen(app, { host: settings.host, port: settings.metrics_port }, settings);
}
