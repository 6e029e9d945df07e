/**
 * Middleware for routes of a host's own: who is acting, and how well that was proved.
 *
 * @packageDocumentation
 */
export {
  authOf,
  requireSession,
  type AuthInfo,
  type RequireSessionOptions,
} from "./require-session.ts";
export { actingIn, beginLogin, type SessionRequest } from "./host-session.ts";
export { ProblemError, problemOf, type ProblemAnswer } from "./problem.ts";
export { contextOf, type RequestLike } from "./request.ts";
