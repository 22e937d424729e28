import { styleText } from "node:util"

/** Colours and styles that `style` knows. */
export type Style = "red" | "green" | "yellow" | "cyan" | "dim" | "bold"

/** Styled text for stderr or stdout, plain when that stream is no terminal or under NO_COLOR. */
export function style(format: Style, text: string, stream: NodeJS.WriteStream = process.stderr): string {
  return styleText(format, text, { stream, validateStream: true })
}

/**
 * Text from data, made safe for a terminal: control characters other than newline and tab are shown as `\xNN`, so that
 * a name in a database can neither move the cursor nor change the title; those that turn the direction of writing, by
 * which a text could show as another, as `\uNNNN`.
 */
export function plainText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (c) => {
    const code = c.charCodeAt(0).toString(16)
    return c === "\r" ? "" : code.length > 2 ? `\\u${code}` : `\\x${code.padStart(2, "0")}`
  })
}

/** Width of the terminal in columns; 200 where stdout is no terminal, so that files and pipes lose nothing. */
export function terminalWidth(stream: NodeJS.WriteStream = process.stdout): number {
  return stream.isTTY ? (stream.columns ?? 100) : 200
}
