import type { Request } from "express";

/** What auth-framework tells of a login's circumstances. Told to the user, never used for a decision. */
export interface Risk {
  readonly login_risk_level: "low" | "medium" | "high" | "critical";
  readonly security_warnings: readonly string[];
}

interface Sign {
  readonly points: number;
  readonly warning: string;
  readonly shows: (userAgent: string, hops: number) => boolean;
}

const SIGNS: readonly Sign[] = [
  {
    points: 30,
    warning: "The request named no client.",
    shows: (userAgent) => userAgent === "",
  },
  {
    points: 40,
    warning: "The login came through an anonymising network.",
    shows: (userAgent) => userAgent.toLowerCase().includes("tor browser"),
  },
  {
    points: 15,
    warning: "The login came through several proxies.",
    shows: (_userAgent, hops) => hops >= 2,
  },
];

/** Judged from two headers, as the family documents it. `secured`: the account has a second factor. */
export function riskOf(req: Request, secured: boolean): Risk {
  const userAgent = req.headers["user-agent"] ?? "";
  const hops = String(req.headers["x-forwarded-for"] ?? "").split(",").length;
  const shown = SIGNS.filter(({ shows }) => shows(userAgent, hops));
  const points = shown.reduce((sum, sign) => sum + sign.points, 0);
  const level = levelOf(points);
  const advice = points >= 30 && !secured ? ["Turn on multi-factor authentication."] : [];
  return {
    login_risk_level: level,
    security_warnings: [...shown.map(({ warning }) => warning), ...advice],
  };
}

function levelOf(points: number): Risk["login_risk_level"] {
  if (points >= 60) return "critical";
  if (points >= 30) return "high";
  return points >= 10 ? "medium" : "low";
}
