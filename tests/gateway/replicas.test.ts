import { FakeRedis } from "../support/redis.ts";
import { testReplicas } from "./replicas.ts";

testReplicas(() => FakeRedis.start());
