import type { Row } from "../row.ts"
import { engine } from "./engine.ts"
import { images } from "./images.ts"
import { lives } from "./life.ts"
import { logs, looks, terminals } from "./looking.ts"
import { powers, runs } from "./run.ts"

export const TABLES: Readonly<Record<string, readonly Row[]>> = {
  images,
  runs,
  powers,
  lives,
  looks,
  logs,
  terminals,
  engine,
}
