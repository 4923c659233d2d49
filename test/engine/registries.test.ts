import { expect, test } from "vitest"
import { registriesOf } from "../../src/engine/registries.ts"

const settings = {
  insecureRegistries: ["10.0.0.0/8", "old.example", "other.example:5000"],
  registryMirrors: ["https://mirror.example", "http://near.example:5000/"],
}
const { accessTo, placesOf } = registriesOf(() => settings)

test("mirrors stand before the default registry, and before no other", () => {
  expect(placesOf("docker.io")).toEqual([
    { host: "mirror.example", insecure: false },
    { host: "near.example:5000", insecure: true },
    { host: "registry-1.docker.io", insecure: false },
  ])
  expect(placesOf("other.example:5000")).toEqual([accessTo("other.example:5000")])
})

test("the default registry is asked where it answers", () => {
  expect(accessTo("docker.io")).toEqual({ host: "registry-1.docker.io", insecure: false })
  expect(accessTo("registry-1.docker.io").host).toBe("registry-1.docker.io")
})

test.each([
  ["127.0.0.1:5000", true],
  ["localhost:5000", true],
  ["10.1.2.3", true],
  ["11.1.2.3", false],
  ["old.example:443", true],
  ["other.example:5000", true],
  ["other.example:5001", false],
])("%s may be spoken to in the clear: %s", (domain, insecure) => {
  expect(accessTo(domain)).toEqual({ host: domain, insecure })
})
