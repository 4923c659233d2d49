import { versions } from "node:process"
import { bind } from "./libc.ts"

const init = bind("int SHA256_Init(void *context)")
const update = bind("int SHA256_Update(void *context, const void *data, size_t length)")
const final = bind("int SHA256_Final(void *digest, void *context)")

/** sizeof(SHA256_CTX): eight words of state, two of length, a block, and two counters. */
const CONTEXT_LENGTH = 112

/**
 * SHA-256 whose state can be taken out and put back, which node:crypto does not offer: the
 * low-level functions of the OpenSSL inside Node (`man SHA256_Init`). The state is the C
 * structure's own bytes, so it is only good for the same OpenSSL: `cryptoVersion` goes with it.
 */
export class Sha256 {
  readonly #context = Buffer.alloc(CONTEXT_LENGTH)

  /** Fresh, or as it stood when `state` was taken. */
  constructor(state?: Uint8Array) {
    if (state === undefined) init(this.#context)
    else if (state.length !== CONTEXT_LENGTH) throw new RangeError("not a SHA-256 state")
    else this.#context.set(state)
  }

  update(bytes: Buffer, start = 0, end = bytes.length): void {
    if (end === start) return
    update(this.#context, start === 0 ? bytes : bytes.subarray(start), end - start)
  }

  /** A copy of the state; hashing can go on. */
  state(): Buffer {
    return Buffer.from(this.#context)
  }

  /** The digest of all so far; hashing can go on. */
  digest(): Buffer {
    const digest = Buffer.alloc(32)
    final(digest, this.state())
    return digest
  }
}

/** The version of the library whose state `Sha256` hands out. */
export const cryptoVersion = versions.openssl
