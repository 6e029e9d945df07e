/**
 * auth-framework 0.5: six documented operations for second factors, and the siblings that a client needs.
 *
 * @packageDocumentation
 */
import type { Router } from "express";
import { z } from "zod";
import type { Auth } from "../../lib/auth.ts";
import { CodeStrategy } from "../../strategies/code-strategy.ts";
import { PasswordStrategy } from "../../strategies/password.ts";
import { mountFamily } from "../shared/mount.ts";
import { accountRoutes } from "./account.ts";
import { authenticationRoutes } from "./authentication.ts";
import type { Authorities, ExternalProvider, FamilyParts } from "./family.ts";
import { mfaRoutes } from "./mfa.ts";
import * as schemas from "./schemas.ts";
import { wire } from "./wire.ts";

/** What the router is made of. */
export interface AuthFrameworkOptions {
  readonly auth: Auth;
  /** Whose accounts these are. */
  readonly tenant: string;
  /** What is offered: what is not in the list, is not. */
  readonly strategies: readonly (PasswordStrategy<unknown> | CodeStrategy<unknown>)[];
  /** What an account may do. @default roles `["user"]`, no permissions */
  readonly authorities?: (account: {
    readonly id: string;
    readonly username: string;
  }) => Authorities;
  /** External logins to list. @default none */
  readonly providers?: readonly ExternalProvider[];
  /** Told of faults of ours; the answer shows nothing of them. @default `process.emitWarning` */
  readonly onFault?: (fault: unknown) => void;
}

/**
 * A router for the app's root (or any prefix); its paths begin with `/api/v1`, its OpenAPI document is at
 * `/api/openapi.json`. It answers its own paths alone.
 *
 * @throws TypeError naming the option.
 */
export function authFramework(options: AuthFrameworkOptions): Router {
  const { auth, tenant, strategies, providers = [], onFault = warn } = options;
  const { authorities = () => ({ roles: ["user"], permissions: [] }) } = options;
  if (!Array.isArray(strategies) || strategies.length === 0) {
    throw new TypeError("strategies: at least one, e.g. new PasswordStrategy(auth, { tenant })");
  }
  const codes = strategies.filter((strategy) => strategy instanceof CodeStrategy);
  const password = strategies.find((strategy) => strategy instanceof PasswordStrategy);
  if (codes.length + (password === undefined ? 0 : 1) < strategies.length) {
    throw new TypeError("strategies: password, totp and backup-code, each once");
  }
  const calls = auth.tenant(tenant);
  for (const { factors } of strategies) {
    if (factors !== calls) throw new TypeError("strategies: made with another auth or tenant");
  }

  const parts: FamilyParts = { calls, password, codes, authorities, providers };
  return mountFamily({
    calls,
    wire,
    onFault,
    routes: [...authenticationRoutes(parts), ...accountRoutes(parts), ...mfaRoutes(parts)],
    info: {
      title: "auth-framework",
      version: "0.5.0",
      servedAt: "/api/openapi.json",
      refusal: schemas.ErrorResponse,
      schemas: named,
      envelope,
    },
  });
}

const { NoData, ...named } = { ...schemas };

function envelope(answer: z.ZodType): z.ZodType {
  const message = z.string().optional();
  return answer === NoData
    ? z.object({ success: z.literal(true), message })
    : z.object({ success: z.literal(true), data: answer, message });
}

function warn(): void {
  process.emitWarning("polyfactor: a request failed by a fault of ours; give `onFault` to see it");
}

export type { Authorities, ExternalProvider } from "./family.ts";
