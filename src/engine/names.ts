import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const ADJECTIVES = [
  "able", "amber", "brave", "brisk", "calm", "clear", "clever", "cosy", "crisp", "eager", "fair",
  "fine", "fleet", "fond", "frank", "gentle", "glad", "grand", "happy", "hardy", "keen", "kind",
  "light", "lively", "loyal", "lucid", "mellow", "merry", "mild", "neat", "nimble", "noble",
  "patient", "plain", "polite", "proud", "quick", "quiet", "ready", "rural", "serene", "sharp",
  "silent", "sincere", "solid", "steady", "still", "subtle", "sunny", "sure", "swift", "tidy",
  "true", "warm", "wise", "witty", "zesty",
]
/** Birds: short, and nobody's name. */
const NOUNS = [
  "avocet", "bittern", "bunting", "chough", "condor", "coot", "crake", "crane", "curlew", "dipper",
  "dove", "dunlin", "eagle", "egret", "eider", "falcon", "finch", "gannet", "godwit", "grebe",
  "heron", "hoopoe", "ibis", "jackdaw", "jay", "kestrel", "kite", "knot", "lapwing", "lark",
  "linnet", "magpie", "martin", "merlin", "oriole", "osprey", "owl", "petrel", "pipit", "plover",
  "puffin", "quail", "raven", "robin", "ruff", "shrike", "siskin", "snipe", "starling", "stork",
  "swallow", "swan", "swift", "teal", "tern", "thrush", "wagtail", "whimbrel", "wren",
]

const below = (most: number) => Random.nextIntBetween(0, most, { halfOpen: true })
const pick = (words: readonly string[]) => Effect.map(below(words.length), (at) => words[at]!)

/** A name for a container that was given none: `merry_heron`. With a number where that is taken. */
export const newName = (attempt: number): Effect.Effect<string> =>
  Effect.gen(function*() {
    const adjective = yield* pick(ADJECTIVES)
    const noun = yield* pick(NOUNS)
    const number = attempt === 0 ? "" : yield* below(10 ** attempt)
    return `${adjective}_${noun}${number}`
  })

const WORD_MAX = 2 ** 32

/** A new container's ID: 64 hexadecimal digits; its first twelve are not all decimal ones. */
export const newId: Effect.Effect<string> = Effect.gen(function*() {
  const words: string[] = []
  for (let count = 0; count < 8; count++) {
    words.push((yield* below(WORD_MAX)).toString(16).padStart(8, "0"))
  }
  const id = words.join("")
  return /^\d{12}/.test(id) ? yield* newId : id
})
