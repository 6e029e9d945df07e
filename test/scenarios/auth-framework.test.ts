import { openFamily } from "../support/auth-framework.ts";
import { authFrameworkClient } from "./clients/auth-framework.ts";
import { tellAll } from "./run.ts";

tellAll("auth-framework", async (t, auth) => {
  const family = await openFamily(t, { auth });
  return { ...family, client: authFrameworkClient(family) };
});
