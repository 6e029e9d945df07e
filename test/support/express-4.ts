import { register } from "node:module";

// Preloaded: whoever asks for express is given Express 4, as in an app that has only that.
const hooks = `export function resolve(specifier, context, next) {
  return next(specifier === "express" ? "express4" : specifier, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
