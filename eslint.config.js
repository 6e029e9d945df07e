import js from "@eslint/js";
import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

const library = ["lib/**/*.ts", "strategies/**/*.ts", "routers/**/*.ts"];

const randomness =
  "Random values come from lib/crypto, so that a test can see that all of them do.";

export default defineConfig(
  globalIgnores(["dist", "coverage", "lib/crypto/*.data.ts"]),
  js.configs.recommended,
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      // A mongoose query is a thenable that runs only when it is awaited.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          checkThenables: true,
          // The runner of node:test waits for these itself.
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "it", "describe", "suite"] },
          ],
        },
      ],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
    },
  },
  {
    files: library,
    rules: {
      "no-restricted-properties": [
        "error",
        { object: "Math", property: "random", message: "Math.random can be predicted." },
      ],
    },
  },
  {
    files: library,
    ignores: ["lib/crypto/**"],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          paths: ["node:crypto", "crypto"].map((name) => ({
            name,
            importNames: ["default", "randomBytes", "randomInt", "randomUUID", "webcrypto"],
            message: randomness,
          })),
        },
      ],
      "no-restricted-globals": ["error", { name: "crypto", message: randomness }],
    },
  },
);
