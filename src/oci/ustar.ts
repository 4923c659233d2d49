/**
 * One header block of a POSIX ustar archive (POSIX.1-2017, pax, "ustar Interchange Format") for a
 * regular file or a directory of root's, at the beginning of time: what is saved twice is the same
 * twice. `name` at most 100 bytes of ASCII.
 */
export function ustarHeader(
  name: string, size: number, directory = false, mode = directory ? 0o755 : 0o644,
): Buffer {
  if (name.length > 100) throw new Error(`tar: ${name} is too long`)
  const block = Buffer.alloc(512)
  block.write(name, 0, "latin1")
  octal(block, mode, 100, 8)
  octal(block, 0, 108, 8)
  octal(block, 0, 116, 8)
  if (size < 8 ** 11) octal(block, size, 124, 12)
  else {
    // GNU's base-256 numbers, which every reader knows that knows files beyond 8 GiB.
    block[124] = 0x80
    block.writeBigUInt64BE(BigInt(size), 128)
  }
  octal(block, 0, 136, 12)
  block.fill(" ", 148, 156)
  block.write(directory ? "5" : "0", 156, "latin1")
  block.write("ustar\x0000", 257, "latin1")
  octal(block, 0, 329, 8)
  octal(block, 0, 337, 8)
  octal(block, block.reduce((sum, byte) => sum + byte, 0), 148, 7)
  return block
}

const octal = (block: Buffer, value: number, offset: number, length: number): void => {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1")
}

/** Bytes that fill the last block of `size` bytes. */
export const tarPadding = (size: number): Buffer => Buffer.alloc((512 - size % 512) % 512)
