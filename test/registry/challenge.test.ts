import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { parseChallenges } from "../../src/registry/challenge.ts"

const parse = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...parameters }))

describe("WWW-Authenticate", () => {
  test("a bearer challenge as the registries send it", () => {
    expect(parse(
      "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
        + "scope=\"repository:a/b:pull,push\"",
    )).toEqual([{
      scheme: "bearer",
      realm: "https://auth.docker.io/token",
      service: "registry.docker.io",
      scope: "repository:a/b:pull,push",
    }])
  })
  test("several challenges, odd spaces, bare values, escapes", () => {
    const odd = 'BASIC realm="a \\"b\\"" , , Bearer realm = https://x/t?y=z,error="e"'
    expect(parse(odd)).toEqual([
      { scheme: "basic", realm: "a \"b\"" },
      { scheme: "bearer", realm: "https://x/t?y=z", error: "e" },
    ])
  })
  test("what is said twice counts once, and names cannot reach the prototype", () => {
    expect(parse("Bearer realm=\"a\",realm=\"b\"")).toEqual([{ scheme: "bearer", realm: "a" }])
    expect(parse("Bearer __proto__=\"a\"")[0]).toHaveProperty("scheme", "bearer")
  })
  test("any text is read, and reading ends", () => {
    fc.assert(fc.property(fc.string(), (text) => {
      parseChallenges(text)
    }))
  })
  test("what is written is read back", () => {
    const word = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
    const parameters = fc.dictionary(word, fc.string(), { minKeys: 1, noNullPrototype: true })
    const challenge = fc.tuple(word, parameters)
    fc.assert(fc.property(fc.array(challenge), (challenges) => {
      const header = challenges.map(([scheme, parameters]) =>
        `${scheme} ${
          Object.entries(parameters).map(([name, value]) =>
            `${name}="${value.replace(/["\\]/g, "\\$&")}"`
          ).join(", ")
        }`
      ).join(", ")
      expect(parse(header)).toEqual(
        challenges.map(([scheme, parameters]) => ({ scheme, ...parameters })),
      )
    }))
  })
})
