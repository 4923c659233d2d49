/** What whoever watches reads: plain text, with colours only where they are seen and wanted. */
export class Screen {
  readonly #out: NodeJS.WriteStream
  readonly #colours: boolean
  /** What is being done: a failure is named by it. */
  #doing = "starting"
  #steps = 0

  constructor(out: NodeJS.WriteStream, env: NodeJS.ProcessEnv) {
    this.#out = out
    this.#colours = out.isTTY && (env["NO_COLOR"] ?? "") === ""
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
    this.#write(`   ${text}`)
  }

  /** A line as it is. */
  plain(text: string): void {
    this.#write(text)
  }

  /** A command as a person would type it. */
  command(text: string): void {
    this.#write(`   ${this.#coloured(CYAN, `$ ${text}`)}`)
  }

  /** What a command answered, its long lines cut short; the lines that are marked stand out. */
  output(text: string, marked: RegExp | null = null): void {
    for (const line of text.trimEnd().split("\n")) {
      const short = line.length > COLUMNS ? `${line.slice(0, COLUMNS - 1)}…` : line
      this.#write(`   ${this.#coloured(marked?.test(line) ? GREEN : DIM, short)}`)
    }
  }

  /** Where something long stands; on a terminal only, and gone with the next line. */
  progress(text: string): void {
    if (this.#out.isTTY) this.#out.write(`\r\x1b[2K   ${text}`)
  }

  #write(text: string): void {
    this.#out.write(this.#out.isTTY ? `\r\x1b[2K${text}\n` : `${text}\n`)
  }

  #coloured(colour: string, text: string): string {
    return this.#colours && text !== "" ? `\x1b[${colour}m${text}\x1b[0m` : text
  }
}

/** What a command answers in longer lines is cut short. */
const COLUMNS = 97

const BOLD = "1"
const DIM = "2"
const GREEN = "32"
const CYAN = "36"
