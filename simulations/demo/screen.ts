/** What whoever watches reads: plain text, with colours only where they are seen and wanted. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #colours: boolean
  /** What a command answers in longer lines is cut short. */
  readonly #columns: number
  /** What is being done: a failure is named by it. */
  #doing = "starting"
  #steps = 0

  constructor(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.#out = out
    this.#columns = out.columns > 0 ? out.columns - MARGIN.length : COLUMNS
    this.#colours = Boolean(out.isTTY) && (env["NO_COLOR"] ?? "") === ""
  }

  get doing(): string {
    return this.#doing
  }

  title(text: string): void {
    this.#write(this.#coloured(BOLD, text))
  }

  /** A new step of the story, numbered: what is done, in one line. */
  step(text: string): void {
    this.#doing = text
    this.#steps += 1
    this.#write(`\n${this.#coloured(BOLD, `${this.#steps}. ${text}`)}`)
  }

  say(text: string): void {
    this.#write(MARGIN + text)
  }

  /** A line as it is. */
  plain(text: string): void {
    this.#write(text)
  }

  /** A command as a person would type it. */
  command(text: string): void {
    this.#write(`${MARGIN}${this.#coloured(CYAN, `$ ${text}`)}`)
  }

  /** What a command answered, its long lines cut short; the lines that are marked stand out. */
  output(text: string, marked: RegExp | null = null): void {
    for (const line of text.trimEnd().split("\n")) {
      const short = line.length > this.#columns ? `${line.slice(0, this.#columns - 1)}…` : line
      this.#write(`${MARGIN}${this.#coloured(marked?.test(line) ? GREEN : DIM, short)}`)
    }
  }

  /** Where something long stands; on a terminal only, and gone with the next line. */
  progress(text: string): void {
    if (this.#out.isTTY) this.#out.write(`\r\x1b[2K${MARGIN}${text}`)
  }

  #write(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\x1b[2K${text}\n` : `${text}\n`)
  }

  #coloured(colour: string, text: string): string {
    return this.#colours && text !== "" ? `\x1b[${colour}m${text}\x1b[0m` : text
  }
}

/** What is left of the margin, where nobody says how wide a line may be. */
const COLUMNS = 137

const MARGIN = "   "

const BOLD = "1"
const DIM = "2"
const GREEN = "32"
const CYAN = "36"
