import { defineResolver } from "../../src/contracts/index.ts";
import { type MlflowOptions, mlflowOptions } from "./options.ts";

/** Models and artifacts of an MLflow server: `models:/name@alias`, `runs:/id/path`, `mlflow-artifacts:/path`. */
export default defineResolver<MlflowOptions>({
  name: "mlflow",
  schemes: ["models", "runs", "mlflow-artifacts"],
  options: mlflowOptions,
  async open(options, host) {
    const { MlflowResolver } = await import("./resolver.ts");
    return new MlflowResolver(options, host);
  },
});
