import koffi from "koffi"
import { bind, Errno } from "./libc.ts"

/**
 * Readiness of descriptors that Node cannot watch itself (SEQPACKET sockets, pidfds, pipes made by
 * us), on Node's own loop: libuv's `uv_poll` handles, so no thread waits and a wake costs 2 us.
 * Source: libuv's documentation of `uv_poll_t`. Main thread only, as it is that thread's loop.
 */

const READABLE = 1
const WRITABLE = 2
const DISCONNECT = 4
const UV_POLL = 8 // of uv_handle_type: stable ABI within libuv 1

const pollCallback = koffi.pointer(
  koffi.proto("void uv_poll_cb(void *handle, int status, int events)"),
)
const closeCallback = koffi.pointer(koffi.proto("void uv_close_cb(void *handle)"))

const defaultLoop = bind("void *uv_default_loop()")
const handleSize = bind("size_t uv_handle_size(int type)")
const pollInit = bind("int uv_poll_init(void *loop, void *handle, int fd)")
const pollStart = bind("int uv_poll_start(void *handle, int events, uv_poll_cb *callback)")
const pollStop = bind("int uv_poll_stop(void *handle)")
const closeHandle = bind("void uv_close(void *handle, uv_close_cb *callback)")
const unref = bind("void uv_unref(void *handle)")
const malloc = bind("void *malloc(size_t size)")
const free = bind("void free(void *memory)")

export interface Ready {
  /** Also true when the other end is gone or the descriptor is in error: reading tells which. */
  readonly readable: boolean
  readonly writable: boolean
}

export interface Watcher {
  /** Sets both interests; with neither, the descriptor costs nothing. */
  readonly want: (readable: boolean, writable: boolean) => void
  /** Ends the watch and frees its handle. Close the descriptor only after this. Idempotent. */
  readonly close: () => void
}

interface Watch {
  readonly onReady: (ready: Ready) => void
  scheduled: boolean
}

const watches = new Map<bigint, Watch>()

/**
 * libuv calls this outside of any JavaScript scope: promises resolved in here would stall until the
 * next timer. So it only books a turn of the loop, and the watcher's handler runs in that.
 */
const onPoll = koffi.register((handle: unknown, status: number, events: number) => {
  const address = koffi.address(handle)
  const watch = watches.get(address)
  if (watch === undefined || watch.scheduled) return
  watch.scheduled = true
  setImmediate(() => {
    watch.scheduled = false
    if (watches.get(address) !== watch) return
    watch.onReady({
      readable: status < 0 || (events & (READABLE | DISCONNECT)) !== 0,
      writable: status < 0 || (events & WRITABLE) !== 0,
    })
  })
}, pollCallback)

const onClosed = koffi.register((handle: unknown) => free(handle), closeCallback)

/**
 * Watches a descriptor, at first for nothing: call `want`. Level-triggered: a handler that leaves
 * bytes behind is called again. libuv makes the descriptor non-blocking.
 * @param keepsAlive does the watch keep the process from ending? Default true.
 */
export const watch = (
  descriptor: number,
  onReady: (ready: Ready) => void,
  keepsAlive = true,
): Watcher => {
  const handle = malloc(handleSize(UV_POLL))
  const failure = pollInit(defaultLoop(), handle, descriptor)
  if (failure < 0) {
    free(handle)
    throw new Errno("uv_poll_init", String(descriptor), -failure)
  }
  if (!keepsAlive) unref(handle)
  const address = koffi.address(handle)
  watches.set(address, { onReady, scheduled: false })
  let open = true
  return {
    want: (readable, writable) => {
      if (!open) return
      const mask = (readable ? READABLE | DISCONNECT : 0) | (writable ? WRITABLE : 0)
      if (mask === 0) pollStop(handle)
      else pollStart(handle, mask, onPoll)
    },
    close: () => {
      if (!open) return
      open = false
      watches.delete(address)
      closeHandle(handle, onClosed)
    },
  }
}
