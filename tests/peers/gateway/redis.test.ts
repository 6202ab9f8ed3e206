import { testReplicas } from "../../gateway/replicas.ts";
import { startRedis } from "./peers.ts";

testReplicas(startRedis);
