import { describe } from "vitest"
import { carrierContract } from "../contracts/carrier.ts"
import { linuxWorld } from "./child-world.ts"

describe.skipIf(process.getuid?.() !== 0)("as root", () => {
  carrierContract("the extraction child", linuxWorld)
})
