import * as Result from "effect/Result"
import fc from "fast-check"
import { expect, test } from "vitest"
import { digestOf } from "../../src/oci/digest.ts"
import { layersMismatch, parseImageConfig } from "../../src/oci/image-config.ts"

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
const read = (value: unknown) => Result.getOrThrow(parseImageConfig(bytes(value)))
const cause = (value: unknown) =>
  Result.match(parseImageConfig(bytes(value)), { onSuccess: () => "", onFailure: (f) => f.cause })
const rootfs = { type: "layers", diff_ids: [digestOf("a")] }

test("an image as Docker builds it", () => {
  const image = read({
    architecture: "arm",
    variant: "v7",
    os: "linux",
    created: "2024-01-02T03:04:05.6Z",
    container: "0123",
    container_config: { Cmd: ["/bin/sh", "-c", "#(nop)"] },
    config: {
      Hostname: "",
      Env: ["PATH=/bin"],
      Cmd: ["sh"],
      Entrypoint: null,
      WorkingDir: "/app",
      User: "1000:1000",
      Labels: { a: "b" },
      ExposedPorts: { "80/tcp": {}, "53/udp": {} },
      Volumes: { "/data": {} },
      StopSignal: "SIGINT",
      Healthcheck: { Test: ["CMD", "true"], Interval: 1e9, Retries: 3 },
      Shell: ["/bin/ash", "-c"],
      OnBuild: null,
    },
    rootfs,
    history: [{ created_by: "ADD x", created: "2024-01-02T03:04:05Z" }, { empty_layer: true }],
  })
  expect(image).toMatchObject({ architecture: "arm", variant: "v7", diffIds: [digestOf("a")] })
  expect(image.history.map(({ emptyLayer }) => emptyLayer)).toEqual([false, true])
  expect(image.config).toEqual({
    env: ["PATH=/bin"],
    cmd: ["sh"],
    entrypoint: null,
    workingDir: "/app",
    user: "1000:1000",
    labels: { a: "b" },
    exposedPorts: ["80/tcp", "53/udp"],
    volumes: ["/data"],
    stopSignal: "SIGINT",
    stopTimeoutS: null,
    healthcheck: {
      test: ["CMD", "true"],
      intervalNs: 1e9,
      timeoutNs: 0,
      startPeriodNs: 0,
      startIntervalNs: 0,
      retries: 3,
    },
    shell: ["/bin/ash", "-c"],
    onBuild: [],
    argsEscaped: false,
  })
})

test("little is needed, and case does not matter", () => {
  expect(read({ rootfs }).config).toMatchObject({ env: [], cmd: null, healthcheck: null })
  expect(read({ rootfs, config: null }).config.workingDir).toBe("")
  expect(read({ RootFS: rootfs, Config: { env: ["A=b"], CMD: "one word" } }).config)
    .toMatchObject({ env: ["A=b"], cmd: ["one word"] })
  expect(read({ rootfs, config: { healthcheck: { test: ["NONE"] } } }).config.healthcheck?.test)
    .toEqual(["NONE"])
  expect(read({ rootfs, config: { env: ["wrong"], Env: ["right"] } }).config.env).toEqual(["right"])
})

test("what is refused, and why", () => {
  expect(cause({ config: {} })).toBe("invalid rootfs in image configuration")
  expect(cause({ rootfs: { type: "windows" } })).toBe("invalid rootfs in image configuration")
  expect(cause({ rootfs: { type: "layers", diff_ids: ["x"] } })).toMatch(/invalid checksum digest/)
  expect(cause({ rootfs, config: { Env: "A=b" } })).toMatch(/config.*Env/)
  expect(cause([])).toMatch(/^invalid image configuration/)
  expect(layersMismatch([digestOf("a")], 2)).toMatch(/don't match/)
  expect(layersMismatch([], 0)).toBeNull()
})

test("no JSON makes it throw", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    expect(Result.isResult(parseImageConfig(Buffer.from(text)))).toBe(true)
  }))
  const config = fc.dictionary(
    fc.constantFrom("Env", "Cmd", "Labels", "Healthcheck", "__proto__", "Volumes"),
    fc.jsonValue(),
  )
  fc.assert(fc.property(config, (config) => {
    expect(Result.isResult(parseImageConfig(bytes({ rootfs, config })))).toBe(true)
  }))
})
