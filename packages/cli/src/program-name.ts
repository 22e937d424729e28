/**
 * How the user calls this program, for the commands that it prints to be typed next: "npx exp" where npx started it, the
 * launcher's name in a bundle (which sets EXP_PROGRAM), else "exp".
 */
export const programName = (): string =>
  process.env["EXP_PROGRAM"] ?? (process.env["npm_command"] === "exec" ? "npx exp" : "exp")
