import { AuthError } from "../../lib/errors.ts";
import type { Method } from "../../lib/account.ts";
import { route, type Route } from "../shared/route.ts";
import type { FamilyParts } from "./family.ts";
import * as schemas from "./schemas.ts";

const tag = "MFA";
const NAMES: Readonly<Partial<Record<Method, string>>> = { totp: "totp" };

/** The six operations that the family documents for second factors. */
export function mfaRoutes({ calls, codes }: FamilyParts): readonly Route[] {
  const offered = (method: Method): void => {
    if (!codes.some((strategy) => strategy.method === method)) throw new AuthError("not_offered");
  };
  return [
    route("post", "/api/v1/mfa/setup", {
      summary: "Start TOTP enrollment",
      operationId: "setupMFA",
      tag,
      access: "enrol",
      answer: schemas.MFASetupResponse,
      refusals: [401],
      async run({ acting, context }) {
        offered("totp");
        const setup = await calls.enrolTotp(acting, { backupCodes: "short" }, context);
        const { uri, secret, backupCodes } = setup;
        return { data: { qr_code: uri, secret, backup_codes: backupCodes } };
      },
    }),
    route("post", "/api/v1/mfa/verify", {
      summary: "Complete MFA enrollment",
      operationId: "verifyMFA",
      tag,
      access: "enrol",
      body: schemas.MFAVerifyRequest,
      aliases: { code: "totp_code" },
      answer: schemas.NoData,
      refusals: [400, 401, 429],
      async run({ body, acting, context }) {
        offered("totp");
        await calls.confirmTotp(acting, { code: body.totp_code, replace: true }, context);
        return { message: "MFA enabled successfully" };
      },
    }),
    route("post", "/api/v1/mfa/disable", {
      summary: "Disable MFA",
      operationId: "disableMFA",
      tag,
      access: "aal1",
      body: schemas.DisableMFARequest,
      aliases: { code: "totp_code" },
      answer: schemas.NoData,
      refusals: [400, 401, 409, 429],
      async run({ body, acting, context }) {
        offered("totp");
        const { password, totp_code: code } = body;
        await calls.disableSecondFactors(acting, { password, code }, context);
        return { message: "MFA disabled successfully" };
      },
    }),
    route("get", "/api/v1/mfa/status", {
      summary: "Get MFA status",
      operationId: "getMFAStatus",
      tag,
      access: "enrol",
      answer: schemas.MFAStatusResponse,
      refusals: [401],
      run({ acting }) {
        const { enabled, methods, backupCodesRemaining } = calls.status(acting);
        return {
          data: {
            enabled,
            methods: methods.map((method) => NAMES[method]).filter((name) => name !== undefined),
            backup_codes_remaining: backupCodesRemaining,
          },
        };
      },
    }),
    route("post", "/api/v1/mfa/regenerate-backup-codes", {
      summary: "Replace backup codes",
      operationId: "regenerateBackupCodes",
      tag,
      access: "aal1",
      answer: schemas.BackupCodeList,
      refusals: [400, 401],
      async run({ acting, context }) {
        offered("backup_code");
        return { data: await calls.replaceBackupCodes(acting, "short", context) };
      },
    }),
    route("post", "/api/v1/mfa/verify-backup-code", {
      summary: "Verify a one-time backup code",
      operationId: "verifyBackupCode",
      tag,
      access: "aal1",
      body: schemas.BackupCodeVerifyRequest,
      answer: schemas.NoData,
      refusals: [400, 401, 429],
      words: {
        invalid_code: {
          status: 400,
          code: "MFA_INVALID_CODE",
          message: "Invalid or already-used backup code",
        },
        not_enrolled: {
          status: 400,
          code: "MFA_ERROR",
          message: "No backup codes found for this account",
        },
      },
      async run({ body, acting, context }) {
        offered("backup_code");
        const submission = {
          choice: { methods: ["backup_code"] },
          proof: { code: body.backup_code },
        } as const;
        await calls.stepUp(acting, submission, context);
        return { message: "Backup code verified" };
      },
    }),
  ];
}
