import { z } from "zod";

/** Text that must be there: the same words for a missing, an empty and a wrong-typed field. */
function required(words: string, longest = 1024): z.ZodString {
  return z.string({ error: words }).min(1, words).max(longest, words);
}

const credentials = "Username and password are required";
const totp = (words: string): z.ZodString =>
  required(words).regex(/^[0-9]{6}$/, "TOTP code must be 6 digits");

/** A second-factor code at login: six digits exactly, or a backup code in any spacing. */
const mfaCode = z
  .string()
  .regex(
    /^(?:[0-9]{6}|(?:[ -]*[A-Za-z0-9]){8,25}[ -]*)$/,
    "mfa_code must be a 6-digit code or a backup code",
  );

const name = z.string().max(100, "At most 100 characters").nullable().optional();

// Bodies.
export const RegisterRequest = z.object({
  username: required("Username is required", 254),
  email: required("Email is required", 254),
  password: required("Password is required", 8192),
});
export const LoginRequest = z
  .object({
    username: required(credentials, 254),
    password: required(credentials, 8192),
    challenge_id: z.string().max(1024).nullable().optional(),
    mfa_code: mfaCode.nullable().optional(),
    remember_me: z.boolean().optional(),
  })
  .refine(({ challenge_id, mfa_code }) => !challenge_id === !mfa_code, {
    error: "challenge_id and mfa_code must be provided together",
    path: ["mfa_code"],
  });
export const RefreshRequest = z.object({
  refresh_token: required("Refresh token is required", 8192),
});
export const LogoutRequest = z.object({
  refresh_token: z.string().max(8192).nullable().optional(),
});
export const VerifyEmailRequest = z.object({ token: required("Token is required") });
export const ResendVerificationRequest = z.object({ email: required("Email is required", 254) });
export const UpdateProfileRequest = z.object({
  first_name: name,
  last_name: name,
  email: z.string().max(254).optional(),
});
export const ChangePasswordRequest = z.object({
  current_password: required("Current password is required", 8192),
  new_password: required("New password is required", 8192),
});
export const MFAVerifyRequest = z.object({ totp_code: totp("TOTP code is required") });
export const DisableMFARequest = z.object({
  password: required("Password and TOTP code are required", 8192),
  totp_code: totp("Password and TOTP code are required"),
});
export const BackupCodeVerifyRequest = z.object({
  backup_code: required("Backup code is required", 64),
});
export const SessionPath = z.object({ session_id: z.string().max(64) });

// Answers.
const roles = { roles: z.array(z.string()), permissions: z.array(z.string()) };
export const RegisterResponse = z.object({
  user_id: z.string(),
  username: z.string(),
  email: z.string(),
});
export const UserInfo = z.object({ id: z.string(), username: z.string(), ...roles });
export const TokenResponse = z.object({
  access_token: z.string(),
  token_type: z.literal("Bearer"),
  expires_in: z.int(),
});
export const LoginResponse = z.object({
  access_token: z.string(),
  refresh_token: z.string(),
  token_type: z.literal("Bearer"),
  expires_in: z.int(),
  user: UserInfo,
  login_risk_level: z.enum(["low", "medium", "high", "critical"]),
  security_warnings: z.array(z.string()),
});
export const OAuthProvider = z.object({
  name: z.string(),
  display_name: z.string(),
  auth_url: z.string(),
});
export const ProviderList = z.array(OAuthProvider);
export const VerificationSent = z.object({
  sent: z.boolean(),
  verification_token: z.literal(""),
  message: z.string(),
});
export const EmailVerified = z.object({
  verified: z.literal(true),
  user_id: z.string(),
  message: z.string(),
});
export const UserProfile = z.object({
  id: z.string(),
  username: z.string(),
  email: z.string(),
  first_name: z.string().optional(),
  last_name: z.string().optional(),
  ...roles,
  mfa_enabled: z.boolean(),
  email_verified: z.boolean(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export const UserClaims = z.object({
  sub: z.string(),
  preferred_username: z.string(),
  email: z.string(),
  email_verified: z.boolean(),
  given_name: z.string().optional(),
  family_name: z.string().optional(),
  updated_at: z.int(),
});
export const SessionInfo = z.object({
  id: z.string(),
  device: z.string(),
  location: z.string(),
  ip_address: z.string(),
  created_at: z.iso.datetime(),
  last_active: z.iso.datetime(),
  is_current: z.boolean(),
});
export const SessionList = z.array(SessionInfo);
export const MFASetupResponse = z.object({
  qr_code: z.string(),
  secret: z.string(),
  backup_codes: z.array(z.string()),
});
export const MFAStatusResponse = z.object({
  enabled: z.boolean(),
  methods: z.array(z.string()),
  backup_codes_remaining: z.int().min(0),
});
export const BackupCodeList = z.array(z.string());
/** For answers whose envelope has no `data`. */
export const NoData = z.undefined();
export const ApiError = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()).nullable().optional(),
});
export const ErrorResponse = z.object({ success: z.literal(false), error: ApiError });
